"""The ledger: what transactions mean, what applying a layer changes, and where that is kept.

Pure: bytes and accounts in, changes out; only a Store writes. From outside: `machine.Vm`, `layer` (execute, its records
and parameters), `parse.parse`, `verify`, `state` (Store, MemoryStore), `rewards`, `checkpoint`, `events`, `errors`.
"""
