"""One round of sequential work, from its statement to its proof, whatever happens in between.

May be imported from outside: `prove` (a round, checkpointed), `execution` (a prover at work as a server holds it),
`verify` (verdicts on proofs), `layers` (what a round keeps on disk), `takeover` (of another program's files), `labels`
and `fiat_shamir` (the two functions that both sides share).
"""
