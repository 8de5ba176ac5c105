"""Transactions that wait: what each account can still pay for, and in which order they go into proposals and blocks.

`handler.TxHandler` is the machine that takes them in. From outside: `pool.Mempool`, which is called, `transactions`
(what is stored of them), `transaction.PoolTransaction`, `selection`, `tables`, `errors`.
"""
