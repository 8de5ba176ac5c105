"""What every machine of the node takes and gives, as types: `docs/contract.md` is the page beside them.

`machine.Machine` is what a room implements. It takes messages (`messages`), ticks, timers, answers and changes
(`inputs`), and returns steps (`steps`): a verdict (`verdicts`), what it needs first (`checks`), rows and `effects`.
What it may ask for is in `demands`; `owed` are messages that rows say must still be sent. `ports` are what the node
wants from the world. Views and rows are those of `node.store`, own signatures those of `node.store.own`.
No clock, file, socket or random source; knows no other room but the store.
"""
