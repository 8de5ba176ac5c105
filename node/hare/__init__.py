"""Hare: a committee agrees on the proposals of a layer, in iterations of rounds, and tosses a weak coin on the way.

Versions 3 and 4 share everything but the form of the preround's messages. `parameters` has the rounds and their times,
`gossip` the graded messages, `protocol` the agreement of one layer. No clock, socket,
store or random source. Protocol 05-consensus, sections 3 to 7.
"""
