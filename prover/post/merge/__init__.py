"""Joining the parts of a split initialisation: the decision (pure), single steps, the run."""
