"""The plugin of pytest that runs in each child: it puts one mutation in place, and writes down how each test ended.

Nothing is written over: the mutated text takes the place of the file when its module is imported, so that no copy of
the tree, no compiled kernel and no cache has to be made anew.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from .catalogue import by_name
from .mutation import ROOT, Mutation

REPORT, NAME = "MUTANTS_REPORT", "MUTANTS_NAME"
"""Environment: the file for the endings, and the mutation; without a name nothing is mutated."""


class _Loader(SourceFileLoader):
    """Loads a module from a text that is not in its file."""

    def __init__(self, fullname: str, path: str, source: str) -> None:
        super().__init__(fullname, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        """The mutated code; no compiled file is read or written."""
        return self.source_to_code(self._source.encode(), self.path)


class _Finder(MetaPathFinder):
    """Finds one module, whose text it changes."""

    def __init__(self, mutation: Mutation) -> None:
        self._module = mutation.module
        self._source = mutation.source()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As MetaPathFinder says."""
        if fullname != self._module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None and spec.origin is not None, "its file is there"
        spec.loader = _Loader(fullname, spec.origin, self._source)
        return spec


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Before any conftest is imported, and with it modules of the program."""
    name = os.environ.get(NAME)
    if name is None:
        return
    mutation = by_name(name)
    if mutation.module in sys.modules:
        raise pytest.UsageError(f"{mutation.module} is imported before the mutation could be put in place")
    sys.meta_path.insert(0, _Finder(mutation))


_endings: dict[str, str] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes how a test ended: passed, asserted, or what else happened to it."""
    report = yield
    if report.when == "call" or not report.passed:
        _endings[item.nodeid] = _ending(report, call)
    return report


def _ending(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    if report.passed:
        return "passed"
    if report.skipped or call.excinfo is None:
        return report.outcome
    if report.when == "call" and _is_asserted(call.excinfo):
        return "asserted"
    return f"{report.when}: {call.excinfo.typename}: {str(call.excinfo.value)[:200]}"


def _is_asserted(excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    """Whether a test found another result than it expected: not an assertion of the program itself."""
    if not excinfo.errisinstance((AssertionError, pytest.fail.Exception)):
        return False
    own = [Path(entry.path) for entry in excinfo.traceback if Path(entry.path).is_relative_to(ROOT)]
    own = [path.relative_to(ROOT) for path in own]
    ours = [path.parts[0] for path in own if not path.parts[0].startswith(".")]
    return bool(ours) and ours[-1] == "tests"


def pytest_sessionfinish() -> None:
    """Writes the endings down."""
    Path(os.environ[REPORT]).write_text(json.dumps(_endings), encoding="utf-8")
