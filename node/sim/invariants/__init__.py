"""What must hold whatever happens. Each is a small class; a test for each shows that it sees what it is there for."""
