"""Killed before any of its deeds on files, a move leaves what was there, or all of what was to be."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.node.original import writing
from node.store.store import Store
from prover import durable
from tests.api.node.original.test_moving import all_rows, handed, rows_of, taken
from tests.support.original_node import OriginalNode

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that is killed is forked")

KILLED = 9
DEEDS: tuple[tuple[Any, str], ...] = (
    (durable, "rename"),
    (durable, "create"),
    (durable, "make_directory"),
    (durable, "replace"),
    (os, "link"),
    (Store, "write"),
    (writing, "write"),
)


def killed_before(number: int, what: Callable[[], object]) -> bool:
    """Does something in a process that ends, without any clearing up, before its deed of a number; whether it did."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            left = [number]
            for place, name in DEEDS:
                setattr(place, name, _counted(getattr(place, name), left))
            what()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED), "it fails only by being killed"
    return code == KILLED


def _counted(deed: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def counted(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            sys.stdout.flush()
            os._exit(KILLED)
        return deed(*arguments, **named)

    return counted


def test_ours_are_there_whole_or_not_at_all(original: OriginalNode, ours: Path, tmp_path: Path) -> None:
    before = original.content()
    number = 1
    while killed_before(number, lambda: taken(original, ours)):
        assert not ours.exists(), f"deed {number}"
        assert original.content() == before, f"deed {number}"
        number += 1
    assert number > 10, "there are that many deeds"
    whole = tmp_path / "whole"
    taken(original, whole)
    for store in ("state", "own"):
        assert rows_of(ours, store) == rows_of(whole, store)


def test_the_originals_databases_are_never_missing(original: OriginalNode, ours: Path, tmp_path: Path) -> None:
    taken(original, ours)
    scratch = tmp_path / "scratch"
    rows = Counter(original.state_records)
    number = 1
    while killed_before(number, lambda: handed(original, ours, original.path)):
        assert all_rows(original.path, scratch) == rows, f"deed {number}"
        number += 1
    assert number > 5, "there are that many deeds"
    assert all_rows(original.path, scratch) == rows
    assert not list(original.path.glob("*.migrating"))
