"""The words that everyone speaks: what the network demands, as plain values and pure functions.

Nothing here opens a file, a socket or a device. May be imported from outside: `codec` and `types` (messages and
records), `signing`, `vrf`, `hashing`, `merkle` and `malfeasance` (what counts), `address`, `genesis`, `layers`,
`issuance` and `fixed` (arithmetic of the network), `params` (the networks' parameters), `post*` and `poet*` (the rules
of the two proofs), `pb` (protobuf) and `errors`.
"""
