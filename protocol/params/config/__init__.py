"""The settings of a node, section by section, and their values on each network. How they are read is `api.config`'s.

May be imported from outside: `node.Config`, `networks` (MAINNET, TESTNET, FASTNET, STANDALONE, PRESETS) and `derived`
(started: what follows from the settings, and which of them contradict each other).
"""
