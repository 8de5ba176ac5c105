"""The words of Proof of Space-Time: commitments, difficulties, packed indices, and the order of checks."""
