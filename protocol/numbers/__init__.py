"""Arithmetic on which all nodes agree, to the last bit.

May be imported from outside: `u64` (unsigned 64 bits), `fixed` (72.56 fixed point) and `binomial` (seats of a committee
by it), `issuance` (subsidies and vesting), `layers` (layers and epochs in time), `time` (moments as texts) and
`durations` (texts of durations).
"""
