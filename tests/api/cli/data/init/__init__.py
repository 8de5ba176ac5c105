"""`smesher init` from outside: every row of its table of bad input and faults, its options, and its output."""
