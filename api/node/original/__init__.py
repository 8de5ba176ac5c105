"""The original node's data directory: its databases read and written, and its data moved to ours and back.

Decided is in `node.migration`; here are the files. `schema` is what the databases are made of (`shape`), `reading` and
`writing` are their rows, `directory` everything beside them, `take_over` and `hand_back` the two ways. Specified in
protocol 09b-node-storage-libp2p, sections 5 and 6.1.
"""
