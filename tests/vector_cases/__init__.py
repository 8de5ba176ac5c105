"""Vector-driven checks: what the real programs answered, held against what ours answers.

`harness` is what a check is written with, `runner` runs all of them on a folder and reports, every other
module holds checks and is imported by the runner. Run with `make vectors VECTORS=DIR` or
`python -m tests.vector_cases`.
"""
