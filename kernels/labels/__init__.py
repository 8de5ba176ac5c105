"""PoST labels on the processor: scrypt-jane over many lanes, the engine around it, and the memory that it may take."""
