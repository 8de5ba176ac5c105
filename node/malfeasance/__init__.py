"""Proofs that an identity broke the rules: which of them hold, and whom they convict.

`verdicts` are the rules, `machine` keeps the proofs and the marks, `tables` are its rows, `info` what a proof says.
Knows no other room: what it asks about identities it is given.
"""
