"""The words that everyone speaks: what the network demands, as plain values and pure functions.

Nothing here opens a file, a socket or a device. May be imported from outside: `protocol.post` (the rules of
Proof of Space-Time), `protocol.params` (the networks' parameters) and `protocol.errors`.
"""
