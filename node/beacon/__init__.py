"""The beacon: four bytes for each epoch that nobody can foresee, agreed on by votes, and a coin where they leave off.

`machine` is the machine; `thresholds`, `votes`, `coin` and `reports` are its rules. Protocol 04b, section 1.
"""
