"""Rules of consensus, each deliberately broken, and the tests that notice. `make mutants` runs them."""
