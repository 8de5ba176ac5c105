"""The words that everyone speaks: what the network demands, as plain values and pure functions.

Nothing here opens a file, a socket or a device. Rooms, each of which may use those before it: `numbers` (arithmetic on
which all nodes agree), `codec` (how values become bytes), `crypto` (hashes, trees, signatures, VRF), `types` (every
record and every id), `post` and `poet` (the rules of the two proofs), `params` (the networks' parameters); beside them
`pb` (generated protobuf) and `errors`.
"""
