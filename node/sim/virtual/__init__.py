"""What stands in for hardware: proofs of space and time in the network's formats, with nothing behind them.

A virtual proof is a function of what it proves, so anybody can check it, label by label, and a wrong index is found as
it is in a real one. Signatures and VRF proofs are real ones.
"""
