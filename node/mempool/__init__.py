"""Transactions that wait: what each account can still pay for, and in which order they go into proposals and blocks.

Pure: the state of accounts is asked of a function, the transactions of a Store. From outside: `pool.Mempool`,
`store` (Store, MemoryStore), `transaction.PoolTransaction`, `selection`, `errors`.
"""
