"""A running node as its services know it: `api.services.node.backend.Backend`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TypeVar

from api.edge.rpc import Failed, Status
from api.edge.version import program_version
from api.services.node.backend import Peering
from api.services.node.bus import Bus
from node.assembly.parameters import NodeParameters
from node.contract.instants import Instant
from node.contract.ports import Clock
from node.contract.verdicts import Verdict
from node.runtime.driver import Driver
from node.runtime.errors import Refused
from node.runtime.facts import Facts
from node.store.view import View
from protocol.params.config.node import Config

from .site import Site

if TYPE_CHECKING:
    from node.assembly.rooms import Rooms

T = TypeVar("T")

STATUSES = {"busy": Status.RESOURCE_EXHAUSTED, "no_room": Status.RESOURCE_EXHAUSTED}
"""Of what is not taken; of all other reasons, UNAVAILABLE."""


class Running:
    """One node."""

    def __init__(
        self,
        config: Config,
        parameters: NodeParameters,
        site: Site,
        driver: Driver,
        clock: Clock,
        bus: Bus,
        peering: Peering,
        end: Callable[[], None],
    ) -> None:
        """end: ends the process as a signal would."""
        self.config, self.parameters, self.bus, self.peering = config, parameters, bus, peering
        self.version = program_version()
        self.build = ""
        self._site, self._driver, self._clock, self._end = site, driver, clock, end

    def now(self) -> Instant:
        """As Backend says."""
        return self._clock.now()

    @property
    def facts(self) -> Facts:
        """As Backend says."""
        return self._driver.facts

    def view(self) -> AbstractContextManager[View]:
        """As Backend says."""
        return self._view()

    @contextmanager
    def _view(self) -> Iterator[View]:
        view = self._site.stores.view()
        try:
            yield view
        finally:
            view.close()

    async def ask(self, question: Callable[[Rooms, View], T]) -> T:
        """As Backend says. Raises Failed (RESOURCE_EXHAUSTED, UNAVAILABLE) where it is not answered."""
        try:
            return await asyncio.wrap_future(self._driver.ask(question))
        except Refused as refused:
            raise _failed(refused) from None

    async def submit(self, raw: bytes) -> Verdict:
        """As Backend says. Raises Failed (UNAVAILABLE) before the node has started, or while it stops."""
        try:
            return await asyncio.wrap_future(self._driver.submit(raw))
        except Refused as refused:
            raise _failed(refused) from None

    def shut_down(self, delay_s: float) -> None:
        """As Backend says."""
        asyncio.get_running_loop().call_later(delay_s, self._end)


def _failed(refused: Refused) -> Failed:
    return Failed(STATUSES.get(refused.reason, Status.UNAVAILABLE), str(refused))
