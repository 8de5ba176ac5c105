"""Comparison with independent clients of the network; run by `make interop` where Node is present."""
