"""Proofs of elapsed sequential work: a chain of labels made as fast as one core can, and a proof drawn from it.

May be imported from outside: `round` (a round from its first leaf to its proof, and the verdict on a proof) and
`server` (what a PoET server keeps and decides, without its ports).
"""
