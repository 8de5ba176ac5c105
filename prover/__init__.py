"""Proofs over files and arrays: what a smesher's disks hold, and what is shown about it.

Files are opened here, sockets never. May be imported from outside: `prover.errors` and the modules of
`prover.post` (Proof of Space-Time).
"""
