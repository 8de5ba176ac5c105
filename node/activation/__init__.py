"""Activations: the ATXs of every epoch, and what the other rooms ask about them.

`columns` holds what consensus needs of each ATX in memory, a fixed number of bytes each. It answers at once and is
called by tortoise, eligibility, proposals and the mesh; what it holds is derived from rows. Protocol 04.
"""
