"""Minutes of kills, failing system calls, hostile clients and damaged messages, all from one seed."""
