"""Blocks: what a layer's proposals come to once hare agreed on them, and which blocks of peers are taken.

From outside: `machine.BlockMachine`, `parameters`, `patrol.LayerPatrol`, and `tables.AGREED`, where hare puts what it
agreed on. Protocol 05-consensus, sections 8 and 13.
"""
