"""The words of the PoET: proofs as records, who may register, and signatures as its server judges them."""
