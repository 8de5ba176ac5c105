"""Objects and lists that nodes ask each other for: the client that gets them, the server that has them.

From outside: `client.Fetching` serves the demand `Fetch`; `server.FetchServer` answers peers; `peers.PeerScores` says
which peers answer well, for everybody who asks them; `protocols` are the names, requests and answers of the protocols;
`blobs.Blobs` is where an object of a kind is kept. No socket: what is asked leaves as the demand `Request`, and
`node.p2p.frames` says how it stands on a stream. Protocol 09a-p2p-fetch-sync, sections 3 and 4.
"""
