"""Proof of Space-Time data: labels in files, and the two small files beside them that say what they are.

May be imported from outside: `layout` (which label is in which file), `metadata` (postdata_metadata.json,
shared with the other programs), `record` (smesher.json, our own), and the modules that do the work on a data
directory.
"""
