"""The PoST service of a node: connects to it, makes the proofs that it asks for, tells its operator what it does.

`machine`, `reconnect` and `status` decide and touch nothing; `link` speaks gRPC, `operator` HTTP, `job` makes a
proof in a thread, and `app` puts them together. `api.cli.services.post_service` is the command.
"""
