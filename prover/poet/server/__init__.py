"""What a PoET server keeps and decides: rounds, registrations, records, and the worker beside it.

May be imported from outside: `registration` (who is let in, a state machine), `rounds` (when they open and end),
`records` and `store` (its files and databases), `worker` and `messages` (the role that hashes), `trusted_keys`.
"""
