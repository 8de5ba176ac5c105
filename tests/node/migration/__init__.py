"""Rows of the reference, to ours and back."""
