"""Which keys one node has and another lacks, found with few bytes: set reconciliation by ranges.

`keys` is a set that does not change while two nodes compare, `reconcile` the machine of either side. Peers of the
network do not ask for it yet. Protocol 09a, section 6.
"""
