"""What clients ask of the rows: pages of accounts, transactions, rewards, layers and activations, each by an index.

Pure functions of a View, which answer with rows; no question reads a row that it does not answer with, but for
activations by several filters at once. Offsets are passed over by walking the keys of an index, half a microsecond each
(`python -m bench queries`). Kept are only the counts of the activations of an epoch, of which there may be a million,
and which clients ask for again and again.

| module | answers |
|---|---|
| `transactions` | one by its id, pages by account, ids and layers, what became of one, results in order |
| `accounts` | projected; all at a layer; pages, the latest change first |
| `rewards` | pages by smesher, by coinbase, by layer |
| `layers` | how far a layer is, its hashes, its blocks; pages |
| `activations` | one by its id, pages by epoch, smesher, coinbase; counts; the highest |
| `malfeasance` | proofs with what they say; pages |
| `principal` | the transactions that an account pays, by their nonces |
| `checkpoint` | what a checkpoint of a layer holds |
| `smeshing` | how far own identities are with their next activations, what they have proposed |

Specified in protocol 10-api, sections 3 and 4.
"""
