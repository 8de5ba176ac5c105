"""The configuration of a node: settings by section, the networks' values, and how files and flags change them.

May be imported from outside: `node.Config`, `networks` (MAINNET, TESTNET, FASTNET, STANDALONE, PRESETS), `loader`
(load, parse_flags, started) and `values.ConfigError`.
"""
