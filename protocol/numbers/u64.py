"""Unsigned integers of 64 bits: amounts, gas and fees of the ledger wrap around there, on purpose.

Protocol 07-vm-and-transactions, conventions and section 11.
"""

MASK = (1 << 64) - 1
"""`value & MASK` is what is left of a sum or product."""
