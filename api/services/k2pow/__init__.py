"""k2pow for others: the HTTP service that searches one RandomX proof of work at a time, and its client.

`app.run` is the service, `client.RemotePow` finds the proofs of work of a pass with the help of one or several such
services, ours or the network's own. Specified in protocol 01-post-tools, section 5.
"""
