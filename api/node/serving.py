"""The listeners of a node on its handles: which services they have, what they are told, where they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from api.edge.listen import Address
from api.services.node import metrics
from api.services.node.catalogue import Calls, Offer
from api.services.node.counted import Counted
from api.services.node.listeners import Listeners
from api.services.node.metrics import Machinery, NodeMetrics
from api.services.node.operation import services as operation
from api.services.node.operation.history import History
from api.services.node.operation.operation import Operation, OwnIdentity
from api.services.node.telling import Telling
from api.services.node.v1 import smesher
from node.p2p.port import Host
from node.proposals.store import ProposalStore
from node.runtime.facts import Facts, Onlooker
from node.store.view import Rows

from .composition import Handles
from .providers import devices

if TYPE_CHECKING:
    from api.http.server import HttpServer

GRACE_S = 0.3
"""For calls in work when the node stops."""


class Services:
    """All of them. A `composition.Serving`."""

    def __init__(self, handles: Handles) -> None:
        backend = handles.backend
        history = History(backend.bus, backend.now)
        self._operation = Operation(
            identities=lambda: own_identities(handles),
            history=history,
            databases={one.name: one for one in (handles.prepared.data.state, handles.prepared.data.own)},
            devices=devices,
            clock_offset_ns=lambda: _ahead(handles.host),
        )
        given: dict[str, Calls] = {
            "smesher": smesher.calls(backend, handles.smeshing),
            "post": handles.post.register_calls(),
            "postInfo": handles.post.info_calls(),
        }
        calls = operation.calls(backend, self._operation)
        own = [Offer(descriptor, calls[name]) for name, descriptor in operation.SERVICES.items()]
        counted = Counted(backend.parameters, backend.now)
        self._main, self._metrics_host = backend.config.main, handles.prepared.metrics_host
        self._metrics = NodeMetrics(
            backend,
            Machinery(
                handles.driver,
                handles.pool,
                lambda: self._listeners.open_streams,
                lambda: _sizes(handles),
                lambda: handles.host.clock_offset,
            ),
            counted,
        )
        self._page: HttpServer | None = None
        self._listeners = Listeners(backend, given, own, count=self._metrics.count)
        telling = Telling(
            backend.bus,
            backend.parameters,
            backend.now,
            lambda: _proposals(handles),
            lambda: frozenset(handles.host.peers()),
        )
        self.onlookers: Sequence[Onlooker] = (telling, history, counted, _Started(self._listeners))
        self.addresses: dict[str, str] = {}

    async def start(self) -> None:
        """As Serving says."""
        self.addresses = {name: f"127.0.0.1:{port}" for name, port in (await self._listeners.open()).items()}
        if self._main.metrics:
            address = Address(self._metrics_host, self._main.metrics_port)
            self._page, port = await metrics.listen(self._metrics, address)
            self.addresses["metrics"] = str(replace(address, port=port))
        logging.getLogger().addHandler(self._operation.log)

    async def stop(self) -> None:
        """As Serving says."""
        logging.getLogger().removeHandler(self._operation.log)
        if self._page is not None:
            await self._page.stop(0)
        await self._listeners.stop(GRACE_S)


def _ahead(host: Host) -> int | None:
    """By how much this clock is ahead of those of peers."""
    offset = host.clock_offset
    return None if offset is None else -offset


def own_identities(handles: Handles) -> list[OwnIdentity]:
    """Those of a node as its operator knows them: by the names of their files, the stopped ones last."""
    smeshing = {identity for identity, _ in handles.smeshing.identities()}
    found = [
        OwnIdentity(identity, name, is_smeshing=identity in smeshing)
        for identity, name in sorted(handles.keys.names().items(), key=lambda pair: pair[1])
    ]
    stopped = sorted(handles.keys.stopped().items(), key=lambda pair: pair[1].name)
    return [*found, *(OwnIdentity(identity, of.name, of.sentence, False) for identity, of in stopped)]


def _sizes(handles: Handles) -> dict[str, int]:
    """Bytes of the databases on the disk."""
    folders = (handles.prepared.data.state, handles.prepared.data.own)
    return {folder.name: sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) for folder in folders}


def _proposals(handles: Handles) -> ProposalStore | None:
    node = handles.driver.node
    return None if node is None else node.rooms.proposals


class _Started:
    """An onlooker: the first commit is that of the start, and from then on the node takes calls."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners, self._loop = listeners, asyncio.get_running_loop()
        self._is_told = False

    def committed(self, rows: Rows, events: Sequence[object], facts: Facts) -> None:
        """As Onlooker says."""
        if not self._is_told and not self._loop.is_closed():
            self._is_told = True
            self._loop.call_soon_threadsafe(self._listeners.serving)
