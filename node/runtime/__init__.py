"""The runtime: the engine in the world, with a clock, threads for long work, and everybody who looks on.

From outside: `driver` (turns, what comes in, what leaves), `loop` (the driver on asyncio), `facts` (what a node knows
of itself after every turn, and who is told of commits), `clock`, `workers` and `ports`.
"""
