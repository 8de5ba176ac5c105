"""What clients ask of the rows: pages of accounts, transactions, rewards, layers and activations, each by an index.

Pure functions of a View; no question reads more rows than it answers with, but for those that it passes over.
Specified in protocol 10-api, sections 3 and 4.
"""
