"""What nodes that run in one process share: a message is decoded, and a record encoded and hashed, once for all.

A simulation of many nodes turns it on while it runs; a node by itself has no use for it. All of it follows from bytes
or from a record alone, and records do not change, so nobody can tell the difference but by the time it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

R = TypeVar("R")
T = TypeVar("T")

KEPT = 20_000
"""Values of each kind that are remembered at least since they were last asked for, and at most twice as many."""


class Recent:
    """Values by keys. What was not asked for, while so many others came, is forgotten."""

    __slots__ = ("_kept", "_new", "_old")

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._new: dict[Hashable, Any] = {}
        self._old: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def get(self, key: Hashable) -> Any:
        """The value of a key; None where there is none."""
        found = self._new.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: Hashable, value: object) -> None:
        """Remember a value, which is not None."""
        if len(self._new) >= self._kept:
            self._old, self._new = self._new, {}
        self._new[key] = value


class Shared:
    """What has been decoded, encoded and hashed."""

    __slots__ = ("derived", "values", "written")

    def __init__(self) -> None:
        self.values = Recent()
        """By codec and bytes."""
        self.written = Recent()
        """By codec and the identity of the record: the record, so that no other one gets its identity, and bytes."""
        self.derived = Recent()
        """Likewise, by function."""


shared: Shared | None = None
"""None: nothing is shared."""


@contextmanager
def sharing() -> Iterator[None]:
    """While it lasts, all that is decoded, encoded and hashed is shared. One within another begins anew."""
    global shared
    before, shared = shared, Shared()
    try:
        yield
    finally:
        shared = before


def known(function: Callable[..., T], record: object, *more: Hashable) -> T:
    """What a function gives of a record and more, worked out once for all where nodes share what follows from them."""
    if shared is None:
        return function(record, *more)
    key = (function, id(record), *more)
    found = shared.derived.get(key)
    if found is None:
        found = record, function(record, *more)
        shared.derived.put(key, found)
    return cast(T, found[1])


def once(function: Callable[[R], T]) -> Callable[[R], T]:
    """The same, of a function of a record alone."""

    @wraps(function)
    def worked_out(value: R) -> T:
        return function(value) if shared is None else known(function, value)

    return worked_out
