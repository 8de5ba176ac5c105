"""Keys of coin holders: recovery phrases, key derivation, wallet files, amounts, transactions signed offline.

Nothing here talks to a node. May be imported from outside: `wallet` (Wallet, KeyPair), `files` (their text),
`phrase`, `derivation`, `amounts` and `transactions`.
"""
