"""The PoET server: registration over HTTP and gRPC, the worker beside it, metrics and a status page.

`app.serve` runs a server from a `config.Config`; `service.PoetService` is what both interfaces ask. The decisions
are in `prover.poet`, this package has the sockets. Specified in protocol 02-poet, sections 7 to 9.
"""
