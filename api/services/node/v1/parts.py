"""Rows for a stream, read in parts, each from a snapshot of its own: a client that is slow holds none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from api.services.node.backend import Backend
from api.services.node.reading import reading
from node.store.view import View

T = TypeVar("T")


def in_parts(backend: Backend, rows: Callable[[View, T | None], Iterable[T]], size: int) -> Iterator[Sequence[T]]:
    """All rows in their order, so many at once. rows: those behind one that is given; None: all. Raises Failed."""
    last = None
    while True:
        with reading(backend) as view:
            part = list(islice(rows(view, last), size))
        yield part
        if len(part) < size:
            return
        last = part[-1]
