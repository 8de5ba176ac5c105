"""Devices that compute labels, whatever they are: found and chosen, opened, shared out work, and checked.

From outside: `types` (what a device and an engine are), `find` (which are here, how one is picked), `rig` (all devices
of a job in one pool), `pool`, `spot_check`, `opening`.
"""
