"""Where the node keeps its rows: typed tables over one ordered key space, in memory or in LevelDB.

A room declares its tables (`table.Table`, keys of `keys`) and reads and writes them through a `view.View`. `view.Rows`
are changes that have not been written: a View that reads its own rows first. `store.Store` keeps the tables of one
schema, `own.OwnStore` those that may never be lost or contradicted, and `stores.Stores` is the two together.
Errors are `errors.StoreFault` and below; a fault of the store is never a NodeError, so that no machine takes it for a
message that is malformed. Knows no other room.
"""
