"""The chain of hashes that a PoET makes (SHA-256), and the search of its registration (RIPEMD-256).

From outside: `sha256`, `sha256_verify` (a whole proof judged at once), `ripemd`.
"""
