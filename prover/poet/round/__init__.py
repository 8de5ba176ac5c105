"""One round of sequential work, from its statement to its proof, whatever happens in between."""
