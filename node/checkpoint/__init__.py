"""Checkpoints: the state of the ledger and the latest ATXs, from which a node may begin anew.

From outside: `files` (the format, bytes to values and back), `ledger` (taking and restoring one), `tables`.
"""
