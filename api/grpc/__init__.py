"""What every gRPC server shares: bounds on messages, streams and memory, keepalive, reflection, statuses.

`server.GrpcServer` is a listener for some services, `status` has the codes and the exception that a call ends with,
`reflection` tells what there is.
"""
