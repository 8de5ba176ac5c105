"""The ledger: what transactions mean, what applying a layer changes, and which rows that is.

Executing a layer is a pure function from accounts to changes (`layer`); `state` turns changes into rows of one unit and
takes them back. From outside: `vm.Vm`, `parameters`, `rules`, `layer` (execute and its records), `state`, `tables`,
`parse`, `verify`, `rewards`, `events`, `errors`; `host` is what templates see.
"""
