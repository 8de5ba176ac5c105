"""Runs the named tests of mutations, each mutation in a process of its own, and says which were noticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .mutation import ROOT, Mutation
from .plugin import NAME, REPORT

LIMIT_S, LIMIT_OF_ALL_S = 120, 900
"""Seconds for the tests of one mutation, which take less than ten on a machine with nothing else to do; for all tests
without any."""


class Verdict(Enum):
    """What became of a mutation."""

    CAUGHT = "caught"
    """Each of its tests failed, and by an assertion."""
    SURVIVED = "survived"
    """A test passed: a hole in the tests."""
    UNCLEAR = "unclear"
    """A test ended in another way: the mutation raises, or the test was not run."""
    NOT_FOUND = "not found"
    """The text has changed since; the mutation has to be written anew."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A mutation and what became of it."""

    mutation: Mutation
    verdict: Verdict
    detail: str = ""


def verdict_of(tests: Iterable[str], endings: Mapping[str, str]) -> tuple[Verdict, str]:
    """What the endings of the named tests come to. endings: by node id, as the plugin writes them."""
    unclear = ""
    for test in tests:
        ending = endings.get(test, "not run")
        if ending == "passed":
            return Verdict.SURVIVED, f"{test} passed"
        if ending != "asserted":
            unclear = unclear or f"{test}: {ending}"
    return (Verdict.UNCLEAR, unclear) if unclear else (Verdict.CAUGHT, "")


def judge(mutation: Mutation) -> Outcome:
    """Run the tests of one mutation."""
    try:
        mutation.source()
    except LookupError as error:
        return Outcome(mutation, Verdict.NOT_FOUND, str(error))
    endings, said = endings_of(mutation.tests, mutation.name)
    verdict, detail = verdict_of(mutation.tests, endings)
    return Outcome(mutation, verdict, detail if endings else f"no test ended: {said}")


def judge_all(mutations: Sequence[Mutation], jobs: int) -> Iterator[Outcome]:
    """Run the tests of all, so many at once, in their order."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(judge, mutations)


def unmutated(mutations: Sequence[Mutation]) -> list[str]:
    """What is wrong with the named tests where nothing is mutated: all of them have to pass."""
    tests = tuple(dict.fromkeys(test for mutation in mutations for test in mutation.tests))
    endings, said = endings_of(tests, None, LIMIT_OF_ALL_S)
    if not endings:
        return [f"no test ended: {said}"]
    found = {test: endings.get(test, "not run") for test in tests}
    return [f"{test}: {ending}" for test, ending in found.items() if ending != "passed"]


def endings_of(tests: Sequence[str], name: str | None, limit_s: int = LIMIT_S) -> tuple[dict[str, str], str]:
    """How tests end with a mutation, or with none, by node id; and the end of what pytest said."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        report = Path(folder) / "endings.json"
        environment = {key: value for key, value in os.environ.items() if key not in (NAME, REPORT)}
        environment[REPORT] = str(report)
        if name is not None:
            environment[NAME] = name
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--timeout", "0", "-p", "no:cacheprovider"]
        command += ["-p", "tests.mutants.plugin", *tests]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            return {}, f"it took more than {limit_s} s"
        endings = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
        return endings, (done.stdout + done.stderr).strip()[-1000:]
