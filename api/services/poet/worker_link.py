"""How the registration reaches the worker: one interface, whatever process the worker is in.

`NoWorker` stands for `--disable-worker`, `ThreadWorker` runs it in this process, `ProcessWorker` (in
`worker_process`) in one of its own, where a crash does not touch registration. Specified in protocol 02-poet,
sections 7.6 and 8.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from protocol.types.poet import EMPTY_PROOF
from prover.poet.server.messages import Assignment, Finished, FromWorker, Progress, ToWorker

if TYPE_CHECKING:
    from prover.poet.server.worker import Worker

log = logging.getLogger("poet")

Receive = Callable[[FromWorker], None]


class WorkerLink(Protocol):
    """What the registration needs of a worker. Called, and calling back, in the event loop's thread."""

    async def start(self, receive: Receive) -> None:
        """Starts the worker; it goes on with what it finds on disk."""

    def tell(self, message: ToWorker) -> None:
        """Hands a message over. A round that the worker knows already is left as it is."""

    async def stop(self) -> None:
        """Stops the worker at a safe point."""


class NoWorker:
    """Every closed round has an empty proof at once."""

    def __init__(self) -> None:
        self._receive: Receive | None = None

    async def start(self, receive: Receive) -> None:
        """Nothing to start."""
        self._receive = receive
        receive(Progress("disabled"))

    def tell(self, message: ToWorker) -> None:
        """Answers a round with the empty proof."""
        if isinstance(message, Assignment) and self._receive is not None:
            self._receive(Finished(message.round_id, 0, EMPTY_PROOF))

    async def stop(self) -> None:
        """Nothing to stop."""


class ThreadWorker:
    """The worker in a thread of this process."""

    def __init__(self, make: Callable[[Callable[[FromWorker], None]], Worker]) -> None:
        self._make = make
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None

    async def start(self, receive: Receive) -> None:
        """Starts the thread."""
        loop = asyncio.get_running_loop()

        def emit(message: FromWorker) -> None:
            try:
                loop.call_soon_threadsafe(receive, message)
            except RuntimeError:
                pass  # the loop has ended; what matters is on disk

        worker = self._worker = self._make(emit)

        def work() -> None:
            try:
                worker.run()
            except Exception as error:  # whatever it was, registration goes on and the status says so
                log.exception("the worker has died")
                emit(Progress("down", problem=f"the worker has died: {error}"))

        self._thread = threading.Thread(target=work, name="poet-worker", daemon=True)
        self._thread.start()

    def tell(self, message: ToWorker) -> None:
        """Hands a message over."""
        if self._worker is not None:
            self._worker.tell(message)

    async def stop(self) -> None:
        """Stops the worker and waits for it."""
        if self._worker is not None and self._thread is not None:
            self._worker.stop()
            while self._thread.is_alive():
                await asyncio.sleep(0.01)
