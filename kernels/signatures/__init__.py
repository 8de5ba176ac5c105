"""Ed25519 signatures and ECVRF proofs judged eight at a time. Public data only: no secret enters these lanes."""
