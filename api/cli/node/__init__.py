"""Commands about a node and its data."""
