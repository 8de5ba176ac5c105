"""The engine's thread: a loop of its own, in which nothing but the driver and the sockets of peers has a turn."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from logging import getLogger

from api.edge.errors import Failure
from api.edge.loop import run_loop
from node.contract.ports import Clock
from node.engine.errors import EngineStopped
from node.runtime.driver import Driver
from node.runtime.loop import Alarm, run
from node.store.errors import StoreFault

log = getLogger("runtime")

SWITCH_S = 0.001
"""After so long a thread that serves clients lets the engine's have the interpreter; Python's own value is five times
that, which a turn would wait for again and again."""


class NodeStopped(Failure):
    """The node cannot go on."""


class EngineThread:
    """One of them."""

    def __init__(self, name: str, driver: Driver, clock: Clock, ended: Callable[[Exception | None], None]) -> None:
        """ended: told, in this thread, that it has ended, and by which error; None: it was told to."""
        self._driver, self._clock, self._ended = driver, clock, ended
        self._is_stopping = False
        self._alarm: Alarm | None = None
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        sys.setswitchinterval(SWITCH_S)
        self._thread.start()

    def stop(self) -> None:
        """Begin no other turn. From any thread."""
        self._is_stopping = True
        if self._alarm is not None:
            self._alarm.ring()

    def join(self, seconds: float) -> bool:
        """Whether it has ended after so long."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _main(self) -> None:
        error: Exception | None = None
        try:
            run_loop(self._turns)
        except EngineStopped as stopped:
            cause = stopped.__cause__
            if isinstance(cause, StoreFault):
                error = cause
            else:
                log.error("the engine has stopped", exc_info=stopped)
                error = NodeStopped(
                    f"The node has met a fault of its own and cannot go on: {cause}. What it had committed is kept; "
                    "start it again. If it ends again, please report the log."
                )
        except StoreFault as fault:
            error = fault
        except Exception as mistake:  # it would end this thread, and the process would go on without a chain
            log.error("the engine's thread has failed", exc_info=mistake)
            error = NodeStopped(
                f"The node has met a fault of its own and cannot go on: {type(mistake).__name__}: {mistake}. What it "
                "had committed is kept; start it again. If it ends again, please report the log."
            )
        self._driver.stop()  # whoever waits for an answer is told
        self._ended(error)

    async def _turns(self) -> None:
        self._alarm = Alarm(asyncio.get_running_loop())
        await run(self._driver, self._clock, lambda: self._is_stopping, self._alarm)
