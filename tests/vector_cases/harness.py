"""What a vector-driven check is written with, and how the cases of one file are run in this process.

A check is a function decorated with `@vectors("post/labels.json")` that takes the parsed document and a
Context and yields Case objects. A case passes when its callable returns and fails when it raises;
NotUnderstood says that the check does not know the format. Nothing that a check does wrong stops the run: it
becomes a failed case with a reason.
"""

from __future__ import annotations

import gzip
import importlib
import json
import linecache
import pkgutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Literal

from tests.support.archives import unpack

Outcome = Literal["passed", "failed", "not_understood"]
Kind = Literal["all", "variants", "once"]
"""Which checks of a file to run: all, those that must hold on every CPU variant, or those that run once."""

FILE_CASE = "(file)"
"""The case that stands for a fault of the whole file: unreadable, check stopped, no case in it."""

NOT_HANDLERS = {"__main__", "harness", "runner"}


class NotUnderstood(Exception):
    """The vectors hold something whose format is not known here. Raised by a case or by the check itself."""


@dataclass(frozen=True, slots=True)
class Case:
    """One statement of the vectors."""

    name: str
    check: Callable[[], object]
    """Raises when the statement does not hold (best AssertionError with both values); else returns."""


@dataclass(frozen=True, slots=True)
class Later:
    """Marks a part of a finished file that belongs to a later piece of work: counted nowhere."""

    name: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came out of one case."""

    file: str
    name: str
    outcome: Outcome
    reason: str = ""


class Context:
    """What a check may use beside its document. One for a run; temporary folders vanish at its end."""

    def __init__(self, root: Path, scratch: Path, variant: str | None = None) -> None:
        self.root = root
        """The folder of vectors; the document came from below it."""
        self.variant = variant
        """The CPU variant forced for this run (KERNELS_FORCE), None for the machine's default."""
        self._scratch = scratch
        self._opened: dict[str, Path] = {}

    def path(self, relative: str) -> Path:
        """The path of a file below root ("post/labels_8192.bin"). Raises FileNotFoundError if absent."""
        path = self.root / PurePosixPath(relative)
        if not path.is_file():
            raise FileNotFoundError(f"{relative} is not below {self.root}")
        return path

    def temporary(self, name: str = "case") -> Path:
        """A new empty folder."""
        return Path(tempfile.mkdtemp(prefix=f"{_file_name(name)}-", dir=self._scratch))

    def archive(self, relative: str, *, fresh: bool = False) -> Path:
        """The folder with the content of a .tar.gz below root: its single top folder where it has just one.

        The same folder is returned every time and must not be altered; fresh=True gives a copy to alter.
        """
        if fresh:
            return self._extract(relative)
        if relative not in self._opened:
            self._opened[relative] = self._extract(relative)
        return self._opened[relative]

    def _extract(self, relative: str) -> Path:
        source = self.path(relative)
        target = self.temporary(source.name.removesuffix(".tar.gz"))
        try:
            unpack(source, target)
        except ValueError as error:
            raise NotUnderstood(str(error)) from None
        tops = list(target.iterdir())
        return tops[0] if len(tops) == 1 and tops[0].is_dir() else target


CheckFunction = Callable[[Any, Context], Iterable[Case | Later]]


@dataclass(frozen=True, slots=True)
class Check:
    """A check and the files it is for."""

    patterns: tuple[str, ...]
    function: CheckFunction
    variants: bool
    """Whether its cases must hold on every CPU variant of the label engine."""


@dataclass(slots=True)
class Registry:
    """The checks known to a run."""

    checks: list[Check] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Modules of checks that could not be imported, with the reason; a run with one is a failed run."""

    def vectors(self, *patterns: str, variants: bool = True) -> Callable[[CheckFunction], CheckFunction]:
        """Decorator: this function checks the files that match a pattern ("post/labels.json", "x/*.json").

        A pattern also matches the same name with ".gz" appended. variants=False: the check does not touch the
        label engine and runs once, not for each CPU variant.
        """

        def register(function: CheckFunction) -> CheckFunction:
            self.checks.append(Check(patterns, function, variants))
            return function

        return register

    def of(self, file: str, kind: Kind = "all") -> list[Check]:
        """The checks for one file, "/" separated and relative to the folder of vectors."""
        return [
            check
            for check in self.checks
            if matches(file, check.patterns) and (kind == "all" or check.variants == (kind == "variants"))
        ]


CHECKS = Registry()
vectors = CHECKS.vectors


def load_checks() -> Registry:
    """CHECKS after importing every module of checks in this package. A failed import becomes a problem."""
    package = importlib.import_module("tests.vector_cases")
    CHECKS.problems.clear()
    for module in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        if module not in NOT_HANDLERS:
            try:
                importlib.import_module(f"tests.vector_cases.{module}")
            except Exception as error:
                CHECKS.problems.append(f"tests/vector_cases/{module}.py cannot be imported: {reason_of(error)}")
    return CHECKS


def matches(file: str, patterns: Iterable[str]) -> bool:
    """Whether a file's name, with or without a trailing ".gz", matches one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in {file, file.removesuffix(".gz")})


def not_understood(name: str, reason: str) -> Case:
    """A case that says: this is here, and the check does not know it."""

    def check() -> None:
        raise NotUnderstood(reason)

    return Case(name, check)


def unknown_sections(document: Any, known: Iterable[str], later: Iterable[str] = ()) -> Iterator[Case | Later]:
    """One not-understood case for each entry below a key that is neither known nor meant for later."""
    if not isinstance(document, dict):
        raise NotUnderstood(f"the file holds a {type(document).__name__}, expected an object")
    known, later = set(known), set(later)
    for key, value in document.items():
        if key in later:
            yield Later(key)
        elif key not in known:
            entries = len(value) if isinstance(value, list) else 1
            for position in range(max(entries, 1)):
                yield not_understood(f"{key}[{position}]", f"section {key!r} is not known to this check")


def load(path: Path) -> Any:
    """The document in a .json or .jsonl file (a list of its lines), also with .gz; else the file's bytes."""
    name = path.name.removesuffix(".gz")
    content = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    if name.endswith(".json"):
        return json.loads(content)
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in content.splitlines() if line.strip()]
    return content


def run_file(
    registry: Registry,
    root: Path,
    file: str,
    *,
    kind: Kind = "all",
    variant: str | None = None,
    skip: int = 0,
    starting: Callable[[str], None] = lambda name: None,
) -> Iterator[Result]:
    """Runs the cases of one file in this process. Raises nothing that a check or a file did wrong.

    The first `skip` cases are left out (they ran before). starting is called with the name of each case
    just before it runs. Names that occur twice get "#2", "#3" appended.
    """
    starting(FILE_CASE)
    try:
        document = load(root / PurePosixPath(file))
    except Exception as error:
        yield Result(file, FILE_CASE, "failed", f"cannot be read: {reason_of(error)}")
        return
    seen: dict[str, int] = {}
    position = 0
    with tempfile.TemporaryDirectory(prefix="vectors-", ignore_cleanup_errors=True) as scratch:
        context = Context(root, Path(scratch), variant)
        for check in registry.of(file, kind):
            for case in _cases(check, document, context):
                seen[case.name] = seen.get(case.name, 0) + 1
                name = case.name if seen[case.name] == 1 else f"{case.name} #{seen[case.name]}"
                position += 1
                if position <= skip:
                    continue
                starting(name)
                yield _run_case(file, name, case)
                starting(FILE_CASE)


def _cases(check: Check, document: Any, context: Context) -> Iterator[Case]:
    """The cases that a check yields; what goes wrong while it makes them is a last case of its own."""
    count = 0
    try:
        for item in check.function(document, context):
            if isinstance(item, Later):
                continue
            if not isinstance(item, Case):
                raise TypeError(f"the check yielded a {type(item).__name__}, expected Case or Later")
            count += 1
            yield item
    except NotUnderstood as error:
        yield not_understood(FILE_CASE, str(error))
    except (Exception, SystemExit) as error:
        stopped = RuntimeError(f"the check stopped after {count} cases: {reason_of(error)}")
        yield Case(FILE_CASE, _raiser(stopped))


def _run_case(file: str, name: str, case: Case) -> Result:
    try:
        case.check()
    except NotUnderstood as error:
        return Result(file, name, "not_understood", str(error) or "format not known")
    except (Exception, SystemExit) as error:
        return Result(file, name, "failed", reason_of(error))
    return Result(file, name, "passed")


def reason_of(error: BaseException, limit: int = 400) -> str:
    """One line that says what went wrong; a bare assertion is quoted with its place."""
    text = " ".join(str(error).split())
    if isinstance(error, AssertionError | RuntimeError) and text:
        line = text
    elif isinstance(error, AssertionError):
        line = f"does not hold: {_place(error.__traceback__)}"
    else:
        line = f"{type(error).__name__}: {text}" if text else f"{type(error).__name__} at {_place(error.__traceback__)}"
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _place(traceback: TracebackType | None) -> str:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "unknown place"
    path, line = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
    return f"{Path(path).name}:{line}: {linecache.getline(path, line).strip()}"


def _raiser(error: Exception) -> Callable[[], object]:
    def check() -> None:
        raise error

    return check


def _file_name(text: str) -> str:
    """Characters that every file system takes, and not too many of them."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in text)[:60]
