"""The node's side of a PoET: registration, proofs, certificates, with the retries that the network expects.

`client.PoetClient` speaks HTTP/JSON to one server, `certifier.CertifierClient` to a certifier, and
`service.RemotePoet` puts them together: caches, authorisation, one proof download for many identities. Specified
in protocol 02-poet-client, sections 3 to 5.
"""
