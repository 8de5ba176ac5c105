"""Filling a data directory: what it needs (a plan), the run, the VRF nonce, and scrypt N from stored labels."""
