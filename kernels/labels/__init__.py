"""PoST labels on the processor: scrypt-jane over many lanes, the engine around it, and the memory that it may take.

From outside: `cpu` (the engine), `scalar` (one label in plain integers, to check others with), `memory`.
"""
