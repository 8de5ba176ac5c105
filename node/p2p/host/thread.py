"""A host in a thread and a loop of its own, so that neither a long turn of the engine nor a client keeps peers waiting.

It listens from the beginning, and answers from when it is opened.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from node.contract.demands import Request, Result
from node.contract.messages import Message, PeerId
from node.contract.verdicts import Verdict
from node.p2p.port import Contact, Receiver
from node.p2p.wire.backup import KnownPeer

from .host import Host

T = TypeVar("T")

SAVED_S = 30 * 60.0
"""Between times that the peers are kept for the next start."""
STOP_S = 2.0
"""For connections to be ended in peace."""


class HostThread:
    """A `port.Host`."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Host],
        backup: Iterable[KnownPeer],
        save: Callable[[Sequence[KnownPeer]], None],
    ) -> None:
        """make: the host, in its loop. backup: peers of the last time. save: keeps those of this time.

        Raises HostError where it cannot listen.
        """
        self._save = save
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()
        self._timer: asyncio.TimerHandle | None = None
        try:
            self.host: Host = self._wait(self._start(make, list(backup)))
        except BaseException:
            self._end()
            raise

    async def _start(self, make: Callable[[], Host], backup: list[KnownPeer]) -> Host:
        host = make()
        try:
            await host.start(backup)
        except BaseException:
            await host.stop()
            raise
        self._timer = self._loop.call_later(SAVED_S, self._keep, host)
        return host

    def _keep(self, host: Host) -> None:
        self._timer = self._loop.call_later(SAVED_S, self._keep, host)
        if known := host.known:
            self._save(known)

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_S)
        if not self._thread.is_alive():
            self._loop.close()

    # ---- the port ----

    @property
    def id(self) -> str:
        """As port.Host says."""
        return self.host.id

    @property
    def addresses(self) -> tuple[str, ...]:
        """As port.Host says."""
        return self.host.addresses

    @property
    def clock_offset(self) -> int | None:
        """As port.Host says."""
        return self.host.clock_offset

    def open(self, receiver: Receiver) -> None:
        """As port.Host says."""
        self.host.open(receiver)

    def close(self) -> None:
        """As port.Host says. A second time does nothing."""
        if self._loop.is_closed():
            return
        self.host.close()
        known = self._wait(self._stop())
        if known:
            self._save(known)
        self._end()

    async def _stop(self) -> list[KnownPeer]:
        if self._timer is not None:
            self._timer.cancel()
        return await self.host.stop()

    def contacts(self) -> list[Contact]:
        """As port.Host says."""
        return self.host.contacts()

    def peers(self) -> Sequence[PeerId]:
        """As Network says."""
        return self.host.peers()

    def publish(self, call: int, topic: str, data: bytes) -> None:
        """As Network says."""
        self.host.publish(call, topic, data)

    def judge(self, message: Message, verdict: Verdict) -> None:
        """As Network says."""
        self.host.judge(message, verdict)

    def request(self, call: int, request: Request) -> None:
        """As Network says."""
        self.host.request(call, request)

    def reply(self, call: int, result: Result) -> None:
        """As Network says."""
        self.host.reply(call, result)

    def penalise(self, peer: PeerId, reason: str) -> None:
        """As Network says."""
        self.host.penalise(peer, reason)
