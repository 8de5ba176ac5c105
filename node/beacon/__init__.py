"""The beacon: four bytes for each epoch that nobody can foresee, agreed on by votes, and a coin where they leave off.

`thresholds`, `votes` and `reports` are pure rules. Protocol 04b, section 1.
"""
