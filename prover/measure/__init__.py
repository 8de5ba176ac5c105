"""How fast this machine works: what `profile` and `poet bench` print."""
