"""Hare: a committee agrees on the proposals of a layer, in iterations of rounds, and tosses a weak coin on the way.

From outside: `machine.HareMachine`, `parameters`, `events`, `tables` with the weak coins, and what it needs of others:
`proposals.Proposals`, `proposals.Atxs`, `node.eligibility.active_set.Oracle`. Versions 3 and 4 share everything but the
form of the messages of the preround. `protocol` is the agreement of one layer, `gossip` the graded messages under it;
`session` and `sessions` drive it, `reception` judges messages, `exchange` has the short ids of version 4. Protocol
05-consensus, sections 3 to 7.
"""
