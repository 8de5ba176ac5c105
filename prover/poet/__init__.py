"""Proofs of elapsed sequential work: a chain of labels made as fast as one core can, and a proof drawn from it.

May be imported from outside: `prove` (a round from its first leaf to its proof, checkpointed), `verify` (verdicts on
proofs), `layers` (what a round keeps on disk, and the takeover of the reference's files), `labels` and `fiat_shamir`
(the two functions that both sides share).
"""
