"""Checkpoint files: the state of the ledger and the latest ATXs, from which a node may begin anew."""
