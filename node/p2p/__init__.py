"""Peers: what a node wants of a network, and networks that give it.

From outside: `port` (what an adapter has, and whom it tells of what comes) and `memory` (several nodes of one process).
"""
