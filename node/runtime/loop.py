"""The driver on asyncio: sleeps until a turn is due or something comes in, turns, and lets the sockets have their turn.

What is due is looked for by the node's own clock, so that one that is put right while the loop sleeps is noticed within
a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from node.contract.ports import Clock
from protocol.numbers.durations import SECOND

from .driver import Driver

LONGEST_SLEEP_S = 1.0


class Alarm:
    """Wakes the loop of one thread from any other, once however often it is rung."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._rung = asyncio.Event()
        self._is_ringing = False

    def ring(self) -> None:
        """From any thread."""
        if not self._is_ringing and not self._loop.is_closed():
            self._is_ringing = True
            self._loop.call_soon_threadsafe(self._rung.set)

    async def sleep(self, seconds: float) -> None:
        """Until it is rung, for so long at most."""
        timer = self._loop.call_later(seconds, self._rung.set)
        await self._rung.wait()
        timer.cancel()
        self._rung.clear()
        self._is_ringing = False


async def run(driver: Driver, clock: Clock, stopping: Callable[[], bool], alarm: Alarm) -> None:
    """Turns until `stopping`; ring the alarm when it has changed. Raises EngineStopped, StoreFault."""
    driver.wake = alarm.ring
    driver.start()
    while not stopping():
        wait = driver.wakes_at() - clock.now()
        if wait > 0:
            await alarm.sleep(min(wait / SECOND, LONGEST_SLEEP_S))
            if driver.wakes_at() > clock.now():
                continue
        else:
            await asyncio.sleep(0)
        driver.turn()
