"""What every program shares at its edge: signals, locks, sockets, exit codes."""
