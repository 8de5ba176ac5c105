"""Lists that begin far behind their first row: rows before it are passed over one by one, which takes its time.

Meanwhile other clients are served: it is done in a thread, for one client at a time, and given up when that one leaves.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar
from weakref import WeakKeyDictionary

from api.services.node.backend import Backend
from api.services.node.reading import reading
from node.queries.pages import Page
from node.store.view import View

T = TypeVar("T")

FAR = 2000
"""Rows that are passed over at once: some milliseconds."""
AT_ONCE = 1000
"""Rows between two looks at whether anybody still waits."""

_turns: WeakKeyDictionary[Backend, asyncio.Lock] = WeakKeyDictionary()
"""Whose turn it is, by node."""


class GivenUp(Exception):
    """Nobody waits for the page any more."""


@dataclass(frozen=True, slots=True)
class FarPage(Page):
    """A page whose way can be broken off."""

    is_given_up: threading.Event = field(default_factory=threading.Event)

    def of(self, found: Iterable[T]) -> Iterator[T]:
        """As Page says. Raises GivenUp."""
        rows, left = iter(found), self.offset
        while left > 0:
            if self.is_given_up.is_set():
                raise GivenUp
            step = min(left, AT_ONCE)
            if sum(1 for _ in islice(rows, step)) < step:
                return iter(())
            left -= step
        return islice(rows, self.limit)


async def read(backend: Backend, page: Page, answer: Callable[[View, Page], T]) -> T:
    """What `answer` makes of a snapshot and a page. Raises Failed where the stores cannot be read."""
    if page.offset <= FAR:
        with reading(backend) as view:
            return answer(view, page)
    async with _turns.setdefault(backend, asyncio.Lock()):
        far = FarPage(page.offset, page.limit)
        try:
            return await asyncio.to_thread(_read, backend, far, answer)
        finally:
            far.is_given_up.set()


def _read(backend: Backend, page: Page, answer: Callable[[View, Page], T]) -> T:
    with reading(backend) as view:
        return answer(view, page)
