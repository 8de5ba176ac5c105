"""What a PoET server keeps and decides: rounds, registrations, records, and the worker beside it."""
