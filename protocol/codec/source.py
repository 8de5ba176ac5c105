"""How readers and writers of a codec come to be: Python source, written once a type and compiled at its first use.

The source holds no book-keeping of where in a message it is. Each of its lines is known to belong to a field, so
that the traceback of a fault tells the path: what works costs nothing for what may fail.
"""

from __future__ import annotations

import struct as packing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any

from protocol.codec.compact import Fault, truncated

Reader = Callable[[bytes, int, int], tuple[Any, int]]
"""(data, offset, levels of nesting left) -> (value, the offset after it)."""

Writer = Callable[[Any, Callable[[bytes], object], int], None]
"""(value, what takes each piece, levels of nesting left)."""

Run = tuple[tuple[str, int], ...]
"""Fields of fixed sizes that one statement reads, with their sizes in bytes."""

SOURCE = "<codec>"
"""File name of every generated function."""

DATA_END = (IndexError, packing.error)
"""What generated readers raise by themselves."""

WRONG_TYPES = (TypeError, AttributeError, ValueError, OverflowError)
"""What generated writers raise by themselves, for values of other types than the field's."""


@dataclass(frozen=True, slots=True)
class Place:
    """What one line of generated code works on."""

    path: tuple[str, ...]
    """Names of fields; "[name]" is an element, `name` the local variable with its position."""
    run: Run = ()


_PLACES: dict[object, tuple[Place, ...]] = {}
"""The place of each line of each generated code object."""


class Source:
    """A function that is being written."""

    def __init__(self, parameters: str) -> None:
        self._lines = [f"def generated({parameters}):"]
        self._places = [Place(())]
        self._path: tuple[str, ...] = ()
        self._indent = 1
        self._numbers = count()
        self._names: dict[str, object] = {}

    def line(self, text: str, run: Run = ()) -> None:
        """One statement."""
        self._lines.append("    " * self._indent + text)
        self._places.append(Place(self._path, run))

    def local(self, hint: str) -> str:
        """A new local variable."""
        return f"{hint}_{next(self._numbers)}"

    def bind(self, value: object, hint: str) -> str:
        """A new global name of the function, for a value."""
        name = f"{hint}_{next(self._numbers)}"
        self._names[name] = value
        return name

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """The statements below a line that ends in a colon."""
        self.line(head)
        self._indent += 1
        yield
        self._indent -= 1

    @contextmanager
    def at(self, piece: str) -> Iterator[None]:
        """The statements that work on a field, or on "[variable]", an element."""
        outer, self._path = self._path, (*self._path, piece)
        yield
        self._path = outer

    def compiled(self) -> Any:
        """The function."""
        exec(compile("\n".join(self._lines), SOURCE, "exec"), self._names)
        function: Any = self._names["generated"]
        _PLACES[function.__code__] = tuple(self._places)
        return function


def places_of(traceback: TracebackType | None) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The places on the way to a fault with the local variables there, the outermost first."""
    while traceback is not None:
        places = _PLACES.get(traceback.tb_frame.f_code)
        if places is not None:
            yield places[traceback.tb_lineno - 1], traceback.tb_frame.f_locals
        traceback = traceback.tb_next


@dataclass(frozen=True, slots=True)
class Explanation:
    """A fault with its place."""

    path: str
    """`.votes.support[3].id`; empty for the whole value."""
    fault: Fault


def explain(error: Exception, data: bytes | None) -> Explanation:
    """What a fault in generated code means. data: what was being read, None while writing."""
    path = ""
    last: tuple[Place, dict[str, Any]] | None = None
    for place, variables in places_of(error.__traceback__):
        last = place, variables
        for piece in place.path:
            path += f"[{variables[piece[1:-1]]}]" if piece[0] == "[" else f".{piece}"
    if isinstance(error, Fault):
        return Explanation(path, error)
    if data is None or last is None or not isinstance(error, DATA_END):
        return Explanation(path, Fault("wrong_type", f"the value does not fit: {error}."))
    place, variables = last
    offset = variables["at"]
    needed = 1
    for name, needed in place.run:
        if offset + needed > len(data):
            path += f".{name}"
            break
        offset += needed
    return Explanation(path, truncated(data, offset, needed))
