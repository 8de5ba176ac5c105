"""The chain of hashes that a PoET makes (SHA-256), and the search of its registration (RIPEMD-256)."""
