"""Arithmetic on which all nodes agree: unsigned 64 bits, 72.56 fixed point, issuance, layers and durations."""
