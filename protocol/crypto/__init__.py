"""Hashes, Merkle trees, signatures and the verifiable random function, with the network's own rules of acceptance."""
