"""Activations: which are taken, the ATXs of every epoch, and what the other rooms ask about them.

`machine` takes activations by the rules of both versions (`rules_v1`, `rules_v2`, step by step in `judge_v1`,
`judge_v2`), keeps what follows (`tables`) and finds what contradicts (`contradictions`). `columns` holds what consensus
needs of each ATX in memory, a fixed number of bytes each. It answers at once and is called by tortoise, eligibility,
proposals and the mesh; what it holds is derived from rows (`memory`). Protocol 04.
"""
