"""What a mutation is, and how its text is put into the file that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The root of the repository."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One rule, deliberately broken."""

    name: str
    """What is asked for with `--only`; words joined by hyphens."""
    file: str
    """Below the root."""
    before: str
    """As it stands in the file, exactly once."""
    after: str
    """What stands there instead: another value or verdict, never an exception."""
    why: str
    """What a network of such nodes would come to."""
    tests: tuple[str, ...]
    """Node ids of pytest, each of which has to fail."""

    @property
    def module(self) -> str:
        """The module of the file."""
        return self.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def source(self) -> str:
        """The text of the file with the mutation in it. Raises LookupError where the text is not there once."""
        text = (ROOT / self.file).read_text(encoding="utf-8")
        found = text.count(self.before)
        if found != 1:
            raise LookupError(f"{self.file} has the text {self.before!r} {found} times, expected once")
        return text.replace(self.before, self.after)
