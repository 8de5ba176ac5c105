"""Who may register at a PoET server, and signatures as its server judges them.

May be imported from outside: `registration` (proof of work, certificates, submits) and `signing`. Its records are in
`protocol.types.poet`; proofs are made and checked in `prover.poet`.
"""
