"""Peers: what is said to them and how. Everything above the socket is a machine without one.

`port` says what a node needs of a network; its adapters are `host`, on sockets, and `memory`, for several nodes in one
process. `wire` holds what peers send each other below the messages of consensus, `gossip` how messages come to all,
`peers` whom this node dials, takes and parts with, `rangesync` how two find out what one of them lacks, `frames` how
questions and answers stand on a stream. Protocol 09a-p2p-fetch-sync, and 09b-node-storage-libp2p, section 7.
"""
