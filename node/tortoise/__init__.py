"""Tortoise: which block of each layer is valid, by counting the weighted votes of ballots over a window of layers.

A state machine in memory: what happens in the network comes in by calls, what follows from it is asked for by
`Tortoise.updates` and `Tortoise.encode_votes`. It knows no clock, store or socket. From outside import
`node.tortoise.tortoise` (the machine), `parameters`, `votes` (what a ballot says) and `trace`. Protocol 06-tortoise.
"""
