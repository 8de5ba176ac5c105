"""Everything with a port or a terminal: the command line, services, clients. May import every floor below."""
