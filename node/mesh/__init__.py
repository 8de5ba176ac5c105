"""The mesh: layers with their blocks and ballots, what hare came to, and the state that is kept in step with tortoise.

From outside: `mesh.Mesh`, `processed` (what came of a layer), `executor.Executor` (a layer applied or reverted as one
unit), `tables`. Protocol 05-consensus, sections 10 and 11.
"""
