"""The host: sockets, and what stands on them. The only room of node with sockets; what a machine can decide, one
decides.

| module | what |
|---|---|
| parameters | times and bounds |
| link | a connection from its first byte: agreed on, encrypted, many streams |
| streams | what stands at the end of a stream: negotiation, messages behind their length |
| questions | asking a peer, and answering one |
| gossiping | the router of gossip on its streams |
| meeting | who the other side is, whether it is there, who is near a key |
| comparing | clocks with those of peers |
| dialling | one address after another |
| finding | enough peers: bootnodes, peers of the last time, the table that all keep |
| host | all of it together: an adapter of `port` |
| thread | the same, in a thread of its own |

Everything runs in one loop; what other threads call is handed to it. Protocol 09a, and 09b, section 7.4.
"""
