"""Hashes, Merkle trees, signatures and the verifiable random function, with the network's own rules of acceptance.

May be imported from outside: `hashing`, `merkle`, `signing`, `vrf` and `ripemd256` (a PoET's proof of work). The curve
arithmetic is in `kernels.signatures`; which signature counts is decided here.
"""
