"""The commands that start a service beside the PoET."""
