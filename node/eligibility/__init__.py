"""Who may do what, and how often: seats of a committee, slots of proposals, and the active sets behind both.

Pure functions of proofs, weights and beacons; `active_set` also says from which rows a set is made, and in which order.
Answers at once and is called by hare, certificates, proposals and the beacon. Protocol 04b, sections 2 to 4.
"""
