"""Catching up: activations, proofs of malfeasance, layers with their ballots, blocks and certificates, and the state.

From outside: `machine.SyncMachine`, which also says whether the node is synced (`states`); `parameters`, `tables`.
Objects come by the demand `Fetch`, lists and opinions by `Request`; what judges them is in other rooms, and so is what
notes own activations and ballots as signed that come back to a node without a memory. Protocol
09a-p2p-fetch-sync, section 5.
"""
