"""Arrays in, arrays out: the algorithms that need the silicon, on processors and graphics cards.

The floor knows nothing of networks, files of labels or sockets. Its rooms, from below to above: `vectors` (what the
processor has), `labels` (PoST labels on the processor), `gpu` (on graphics cards), `devices` (all of them together),
`posw` (the chain of hashes of a PoET), `scan` (the proving pass), `signatures`; beside them `randomx`, `crc32c`,
and `seats` on `fixed_words`. From outside, import the modules that a room's own text names, and `kernels.errors`.
"""
