"""Our own package of services, `smesher.v1`: what only the operator of a node is told, on the private listener alone.

`services.SERVICES` names them, `services.calls(backend, operation)` makes them. `operation` is what they stand on
beside a backend, `history` keeps what happened to each identity, `log_tail` the last lines of the log.
"""
