"""The catalogue fits the tree, and a runner that could not tell a mutation that survives would be worth nothing."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from .catalogue import MUTATIONS, by_name
from .mutation import ROOT, Mutation
from .run import Verdict, endings_of, judge, verdict_of

NAMES = [mutation.name for mutation in MUTATIONS]
HERE = "tests/mutants/test_mutants.py"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=NAMES)
def test_the_text_of_a_mutation_is_found_once_and_what_comes_of_it_can_be_read(mutation: Mutation) -> None:
    mutated = ast.parse(mutation.source(), mutation.file)
    assert ast.dump(mutated) != ast.dump(ast.parse((ROOT / mutation.file).read_text(encoding="utf-8")))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=NAMES)
def test_the_tests_of_a_mutation_are_there(mutation: Mutation) -> None:
    assert mutation.tests
    for test in mutation.tests:
        file, *names = test.partition("[")[0].split("::")
        assert names, f"{test} names a file, expected a test"
        assert names[-1] in functions(ROOT / file), f"{file} has no {names[-1]}"


def functions(file: Path) -> set[str]:
    """The functions of a file, those of classes among them."""
    return {node.name for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.FunctionDef)}


def test_no_two_mutations_are_alike() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert len({(mutation.file, mutation.before, mutation.after) for mutation in MUTATIONS}) == len(NAMES)


def test_a_mutation_is_caught_only_where_each_of_its_tests_fails_by_an_assertion() -> None:
    tests = ("one", "two")
    assert verdict_of(tests, {"one": "asserted", "two": "asserted"})[0] is Verdict.CAUGHT
    assert verdict_of(tests, {"one": "asserted", "two": "passed"})[0] is Verdict.SURVIVED
    assert verdict_of(tests, {"one": "call: KeyError: 1", "two": "passed"})[0] is Verdict.SURVIVED
    for ending in ("call: KeyError: 1", "setup: AssertionError: ", "skipped"):
        assert verdict_of(tests, {"one": "asserted", "two": ending})[0] is Verdict.UNCLEAR
    assert verdict_of(tests, {"one": "asserted"})[0] is Verdict.UNCLEAR


def test_a_text_that_is_gone_is_told() -> None:
    gone = replace(MUTATIONS[0], before="nothing in the tree says this")
    assert judge(gone).verdict is Verdict.NOT_FOUND


def test_the_runner_knows_a_test_that_notices_from_one_that_does_not() -> None:
    mutation = by_name("eligibility-no-least-slot")
    blind = f"{HERE}::test_no_two_mutations_are_alike"
    endings, said = endings_of((*mutation.tests, blind), mutation.name)
    assert endings == {**dict.fromkeys(mutation.tests, "asserted"), blind: "passed"}, said
