"""The rules of Proof of Space-Time that need no data and no device.

May be imported from outside: `rules` (commitments, VRF difficulty, sizes) and `proof` (a proof and its metadata,
difficulties, keys of the ciphers, packed indices). Proofs are made and checked in `prover.post`.
"""
