"""The programs with a port: PoET, certifier, k2pow service, PoST service. A room each."""
