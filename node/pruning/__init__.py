"""Pruning: what nobody asks for any more is let go, a little at a time.

From outside: `machine.PruningMachine`.
"""
