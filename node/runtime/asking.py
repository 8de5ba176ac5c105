"""Questions of the threads that serve clients, answered in the engine's thread between two turns, some at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from node.store.errors import StoreFault
from node.store.view import View

from .errors import Refused

if TYPE_CHECKING:
    from node.assembly.node import Node
    from node.assembly.rooms import Rooms

T = TypeVar("T")
Question = Callable[["Rooms", View], T]

SPELL_NS = 2_000_000
"""How long questions are answered before the next turn may begin; one that is begun is finished."""


class Questions:
    """Those that wait, up to a number."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Question[Any], Future[Any]]] = deque()
        self._is_open = True
        self.refused = 0
        """How many found no place."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, question: Question[T]) -> Future[T]:
        """Its answer, when it is there. Raises Refused."""
        answer: Future[T] = Future()
        with self._lock:
            if not self._is_open:
                raise Refused("stopping", "The node is stopping.")
            if len(self._waiting) >= self._most:
                self.refused += 1
                raise Refused("busy", f"{self._most} questions wait for the node already; ask again in a second.")
            self._waiting.append((question, answer))
        return answer

    def answer(self, node: Node) -> None:
        """A spell of answers. What a question raises is raised to whoever asked it."""
        if not self._waiting:
            return
        until = time.monotonic_ns() + SPELL_NS
        try:
            view = node.stores.view()
        except StoreFault as fault:
            self._refuse(fault)
            return
        try:
            while self._waiting and time.monotonic_ns() < until:
                question, answer = self._waiting.popleft()
                if answer.set_running_or_notify_cancel():
                    _answer(question, answer, node.rooms, view)
        finally:
            view.close()

    def close(self) -> None:
        """Whoever waits is told that the node is stopping."""
        with self._lock:
            self._is_open = False
        self._refuse(Refused("stopping", "The node is stopping."))

    def _refuse(self, error: Exception) -> None:
        while self._waiting:
            _, answer = self._waiting.popleft()
            if answer.set_running_or_notify_cancel():
                answer.set_exception(error)


def _answer(question: Question[Any], answer: Future[Any], rooms: Rooms, view: View) -> None:
    try:
        found = question(rooms, view)
    except Exception as error:  # it belongs to whoever asked
        answer.set_exception(error)
    else:
        answer.set_result(found)
