"""What every gRPC server shares: bounds on messages, streams and memory, keepalive, reflection, statuses.

`server.GrpcServer` is a listener for some services, as `methods` makes them of descriptors and calls; `limits` are its
bounds, `tls` the certificates of one that wants them, `health` what probes ask. The kinds of calls, and the codes that
they end with, are in `api.edge.rpc`.
"""
