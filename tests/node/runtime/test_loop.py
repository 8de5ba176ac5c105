"""The driver on asyncio: it turns when something comes in, from whatever thread, and ends when it is told to."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest

from node.contract.verdicts import Verdict
from node.engine.errors import EngineStopped
from node.runtime.errors import Refused
from node.runtime.loop import Alarm, run
from node.store.errors import StoreFault
from protocol.numbers.durations import SECOND

from .company import Company
from .test_driver import Disk


class Thread:
    """A node of one that runs in a thread of its own."""

    def __init__(self, disk: Disk | None = None) -> None:
        self.company = Company(1)
        (self.member,) = self.company.members
        if disk is not None:
            self.member.backends = (disk, Disk())
        self._is_stopping = False
        self._alarm: Future[Alarm] = Future()
        self.ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.alarm = self._alarm.result(10)

    def _run(self) -> None:
        async def main() -> None:
            alarm = Alarm(asyncio.get_running_loop())
            self._alarm.set_result(alarm)
            await run(self.member.driver, self.company.clock, lambda: self._is_stopping, alarm)

        try:
            asyncio.run(main())
        except EngineStopped as stopped:
            self.ended.set_exception(stopped)
        else:
            self.ended.set_result(None)

    def stop(self) -> None:
        """Until it has ended."""
        self._is_stopping = True
        self.alarm.ring()
        self._thread.join()


def submitted(thread: Thread, raw: bytes) -> Verdict:
    """The verdict on a transaction, sent as soon as the node has started."""
    thread.member.driver.ask(lambda rooms, view: None).result(10)
    return thread.member.driver.submit(raw).result(10)


def test_it_turns_when_something_comes_in_and_ends_when_told() -> None:
    thread = Thread()
    try:
        assert submitted(thread, thread.company.wallets[0].spawn()).is_accepted
    finally:
        thread.stop()
    assert thread.ended.result(0) is None


def test_a_layer_that_begins_wakes_it() -> None:
    thread = Thread()
    try:
        thread.member.driver.ask(lambda rooms, view: None).result(10)
        thread.company.clock.set(thread.company.time.genesis_ns + SECOND)
        thread.alarm.ring()
        thread.member.driver.ask(lambda rooms, view: None).result(10)
        assert thread.member.driver.measures.late_ns == SECOND
    finally:
        thread.stop()


def test_an_engine_that_stops_ends_it() -> None:
    disk = Disk()
    thread = Thread(disk)
    thread.member.driver.ask(lambda rooms, view: None).result(10)
    disk.fault = StoreFault("The disk is gone.")
    waiting = thread.member.driver.submit(thread.company.wallets[0].spawn())
    with pytest.raises(EngineStopped):
        thread.ended.result(10)
    thread.stop()
    thread.member.driver.stop()
    with pytest.raises(Refused):
        waiting.result(0)
