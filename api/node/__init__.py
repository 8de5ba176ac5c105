"""A running node, composed: stores, keys, engine, ports and services, from its configuration and its data directory.

`start.prepared` checks everything that can be known before a store is opened, in the order of the reference, and gives
`Prepared`, from which `composition` makes the node. Specified in protocol 09b-node-storage-libp2p, section 6.
"""
