"""The ports of a node in the world: own keys, proofs, PoET servers, published fallbacks (`node.contract.ports`).

`keys` signs, `proofs` verifies in threads and asks the PoST services for proofs, `poets` and `bootstrap` speak HTTP in
the loop of `calls`. What comes of a call is told to `Answered`, from whichever thread it came.
"""
