"""What all pages share: walking the entries of an index, so many of them passed over, so many answered with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from node.store.view import Span
from protocol.types.ids import LayerId

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of an answer is wanted."""

    offset: int = 0
    """So many are passed over."""
    limit: int | None = None
    """At most so many are given; None: all that are left."""

    def of(self, found: Iterable[T]) -> Iterator[T]:
        """The part of an answer."""
        return islice(found, self.offset, None if self.limit is None else self.offset + self.limit)


ALL = Page()


@dataclass(frozen=True, slots=True)
class Layers:
    """A range of layers, both bounds within it."""

    first: LayerId | None = None
    last: LayerId | None = None

    @property
    def is_all(self) -> bool:
        """Whether it has no bounds."""
        return self.first is None and self.last is None

    def __contains__(self, layer: LayerId) -> bool:
        return (self.first is None or self.first <= layer) and (self.last is None or layer <= self.last)

    def span(self, *within: Any, is_descending: bool = False) -> Span:
        """The range of keys that begin with `within`, then have the layer. Raises ValueError for a negative bound."""
        start = None if self.first is None else (*within, min(self.first, MAX_LAYER))
        last = None if self.last is None else (*within, min(self.last, MAX_LAYER))
        return Span(within=within or None, start=start, last=last, reverse=is_descending)


MAX_LAYER = LayerId((1 << 32) - 1)
ANY = Layers()
