"""A network of nodes without socket, disk or clock: virtual time, and everything that may go wrong, from one seed.

`timeline` is time; `network`, `links` and `disk` are what nodes have instead of the world, with all its faults; `node`
drives one engine, as a runtime does; `world` holds them together. `virtual` has proofs of space and time with real
formats and nothing behind them. The same seed gives the same run, to the last byte (`eventlog`).

May know everything of `node`, and no room of it may know this one. It opens no file and no socket.
"""
