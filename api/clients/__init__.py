"""How we ask the services of others: PoET, certifier, k2pow."""
