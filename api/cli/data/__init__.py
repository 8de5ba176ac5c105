"""Commands on PoST data and proofs."""
