"""Proofs that an identity broke the rules: which of them hold, and whom they convict."""
