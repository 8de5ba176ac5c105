"""A running node, composed: stores, keys, engine, ports and services, from its configuration and its data directory.

Specified in protocol 09b-node-storage-libp2p, section 6.
"""
