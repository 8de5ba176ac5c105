"""The services of a node, as existing wallets, explorers and tools know them: once for gRPC and for the JSON gateway.

`backend` is what they stand on, `events` and `bus` what streams are fed with, `telling` what makes events of turns;
`v1` and `v2` hold the services, a module each, `catalogue` names them, `listeners` opens the ports; `metrics` has the
figures. Specified in protocol 10-api.
"""
