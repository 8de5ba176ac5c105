"""Proofs over a data directory: proof of work, the pass, the verdict, and what they share."""
