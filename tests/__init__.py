"""The tests. A package, so that `python -m tests.vector_cases` finds the vector-driven checks."""
