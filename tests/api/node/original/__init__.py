"""Databases of the original node, read and written."""
