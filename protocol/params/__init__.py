"""Parameters of the known networks, one frozen dataclass a protocol.

May be imported from outside: `protocol.params.post` (Proof of Space-Time) and `protocol.params.config` (a node's whole
configuration).
"""
