"""Calls of the engine that coroutines answer, in a loop other than the engine's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from node.contract.demands import Failed, Result

log = logging.getLogger("ports")

Answered = Callable[[int, Result], None]
"""(call, what came of it). Safe from any thread, and raises nothing."""


class Calls:
    """The calls that are open. `begin` and `give_up` may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, answered: Answered) -> None:
        self._loop, self._answered = loop, answered
        self._tasks: dict[int, asyncio.Task[Result]] = {}

    def begin(self, call: int, work: Coroutine[Any, Any, Result]) -> None:
        """Do it; what it returns is the answer."""
        if self._loop.is_closed():
            work.close()
            return
        self._loop.call_soon_threadsafe(self._begin, call, work)

    def give_up(self, call: int) -> None:
        """Its answer is wanted no more: it is cancelled, if it is open."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel, call)

    async def close(self) -> None:
        """Cancel all that is open, and wait for its end; in the loop."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _begin(self, call: int, work: Coroutine[Any, Any, Result]) -> None:
        task = self._tasks[call] = self._loop.create_task(work)
        task.add_done_callback(partial(self._ended, call))

    def _cancel(self, call: int) -> None:
        task = self._tasks.get(call)
        if task is not None:
            task.cancel()

    def _ended(self, call: int, task: asyncio.Task[Result]) -> None:
        del self._tasks[call]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:  # a mistake of ours: whoever asked is told, and does not wait for ever
            log.error("A call has failed; please report it with this log.", exc_info=error)
            self._answered(call, Failed("fault", f"{type(error).__name__}: {error} (a fault of this program)."))
            return
        self._answered(call, task.result())
