"""The assembly: all rooms of a node joined on one engine, the same for simulation and the world.

From outside: `node.assemble` and what it gives, `rooms.Surroundings` (what a node is given) and `rooms.Rooms` (handles
for queries), `parameters` (all parameters of a network as one value, from its settings). Beside them stand the adapters
between rooms: `atxs`, `votes`, `recovery`, and `genesis`, with which a ledger begins.
"""
