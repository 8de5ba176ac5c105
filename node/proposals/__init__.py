"""Proposals and ballots: which of peers are taken, and those that the own identities make.

From outside: `machine.ProposalMachine`, which judges; `builder.BuilderMachine`, which makes; `store.ProposalStore`,
where hare and blocks find the proposals of recent layers; `oracle.ActiveSetOracle`, who takes part in a layer as the
stored ballots say; `parameters` and `tables`. Protocol 04b, sections 3 to 6.
"""
