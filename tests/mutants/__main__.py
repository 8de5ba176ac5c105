"""`python -m tests.mutants`: breaks one rule after another, and looks whether its tests notice.

Exit code 0: all are noticed; 1: one is not, or its text has changed, or its tests fail without it; 2: usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .catalogue import MUTATIONS
from .run import Outcome, Verdict, judge_all, unmutated


def main(argv: Sequence[str] | None = None) -> int:
    """As the module says."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Rules of consensus, broken.")
    parser.add_argument("--only", default="", metavar="NAME", help="mutations with this in their name")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="mutations at once (default 1)")
    options = parser.parse_args(argv)
    chosen = [mutation for mutation in MUTATIONS if options.only in mutation.name]
    if not chosen:
        parser.error(f"no mutation has {options.only!r} in its name")
    if options.jobs < 1:
        parser.error(f"--jobs is {options.jobs}, expected 1 or more")
    console = Console()
    console.print(f"{len(chosen)} mutations; first their tests without any")
    failing = unmutated(chosen)
    if failing:
        console.print("These have to pass before anything can be said of mutations:")
        console.print("\n".join(failing), markup=False)
        return 1
    outcomes = []
    for outcome in judge_all(chosen, options.jobs):
        outcomes.append(outcome)
        console.print(f"{outcome.verdict.value:9} {outcome.mutation.name}", markup=False)
    console.print(table(outcomes))
    return 0 if all(outcome.verdict is Verdict.CAUGHT for outcome in outcomes) else 1


def table(outcomes: Sequence[Outcome]) -> Table:
    """Mutation, what noticed it, verdict."""
    found = Table()
    for title in ("mutation", "file", "noticed by", "verdict"):
        found.add_column(title, overflow="fold")
    for outcome in outcomes:
        mutation = outcome.mutation
        tests = "\n".join(test.removeprefix("tests/") for test in mutation.tests)
        style = "green" if outcome.verdict is Verdict.CAUGHT else "bold red"
        detail = f"\n{escape(outcome.detail)}" if outcome.detail else ""
        verdict = f"[{style}]{outcome.verdict.value}[/]{detail}"
        found.add_row(mutation.name, mutation.file, escape(tests), verdict)
    return found


if __name__ == "__main__":
    sys.exit(main())
