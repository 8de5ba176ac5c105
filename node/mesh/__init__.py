"""The mesh: layers, the blocks that are applied in them, and the one unit in which that happens.

From outside: `executor.Executor`.
"""
