"""What every gRPC server shares: bounds on messages, streams and memory, keepalive, reflection, statuses.

`server.GrpcServer` is a listener for some services; the codes that a call ends with are in `api.edge.rpc`;
`reflection` tells what there is.
"""
