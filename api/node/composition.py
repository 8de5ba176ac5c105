"""A node put together: stores, keys, ports, driver in its thread, services in the loop that starts it.

Clients are let in before the engine recovers, and long before anything of RandomX or a PoET is warm: they read what is
stored, and see by the node's health that it is starting. The end goes the other way round: no client, no turn, no
work, no store. Protocol 09b-node-storage-libp2p, section 6.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from logging import getLogger
from pathlib import Path
from typing import Protocol

from api.edge.threads import processors
from api.services.node.backend import Backend
from api.services.node.bus import Bus
from api.services.node.post.service import PostServices
from api.services.node.smeshing import Smeshing
from node.assembly.parameters import NodeParameters
from node.contract.checks import Checker
from node.contract.demands import BootstrapDocument, Failed, Result
from node.contract.ports import Bootstrap, Clock
from node.p2p.port import Host
from node.runtime.clock import WallClock
from node.runtime.driver import Driver
from node.runtime.facts import Onlooker
from node.runtime.ports import Ports
from node.runtime.workers import Workers
from node.store.stores import Stores
from protocol.types.ids import Beacon

from . import identities
from .commitments import Commitments
from .engine_thread import EngineThread
from .errors_told import tell_errors
from .identities import Mode, OwnIdentity
from .key_watch import KeyWatch
from .peering import HostPeering
from .ports.bootstrap import Documents
from .ports.calls import Answered, Calls
from .ports.keys import NodeKeys
from .ports.poets import Poets
from .ports.proofs import IDLE_S, LightTools, Proofs, Spaces, Tools
from .room import Room
from .running import Running
from .site import Coinbase, Site, open_stores, parameters_on
from .smeshing import Remote
from .start import Prepared, note_stores
from .supervisor import Supervised, Surroundings

log = getLogger("node")

WAITING_PROOFS = 10_000
"""Proofs that wait for a thread, of each of the two kinds: urgent, and others."""
ALONE_IDLE_S = 0.5
"""How long the memory for verification is kept where only own proofs are to be verified, one an epoch."""
STOP_S = 0.7
"""What threads have to end; those that have not by then end with the process."""


class NoDocuments:
    """The port `Bootstrap` of a network that publishes nothing."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered

    def document(self, call: int, work: BootstrapDocument) -> None:
        """As Bootstrap says."""
        self._answered(call, Failed("not_found", "This network publishes no documents."))


class Serving(Protocol):
    """All listeners of a node."""

    onlookers: Sequence[Onlooker]
    """Who is told of what is committed."""

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where clients find each listener, by its name, once they are let in; the first is for everybody."""

    async def start(self) -> None:
        """Let clients in. Raises Failure where a port is taken."""

    async def stop(self) -> None:
        """Let them go, soon."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What another node than that of the command line has of its own."""

    host: Callable[[Clock, NodeParameters], Host]
    """Its place in a network. Raises UsageError, EnvironmentFault."""
    serving: Callable[[Handles], Serving]
    clock: Clock = field(default_factory=WallClock)
    first_beacon: Beacon | None = None
    """That of the first epoch with proposals, where nobody publishes it."""
    checker: Checker | None = None
    """One that several nodes of a process share."""
    pool: Workers | None = None
    """Threads for proofs that several nodes of a process share."""
    spaces: Callable[[Answered], Spaces] | None = None
    """Who proves space, and is told where answers go; None: the PoST services that connect to the node."""
    make_tools: Callable[[int], Tools] = LightTools
    """By scrypt N: what proofs of space are verified with."""
    name: str = "node"
    """Of its threads."""


@dataclass(frozen=True, slots=True)
class Handles:
    """What listeners are opened on."""

    prepared: Prepared
    backend: Backend
    keys: NodeKeys
    smeshing: Smeshing
    driver: Driver
    pool: Workers
    post: PostServices
    host: Host


class Composition:
    """One node. `start`, then `stop`, in one loop; `ended` is done when the engine has come to its end by itself."""

    def __init__(self, prepared: Prepared, parts: Parts) -> None:
        self.prepared, self.parts = prepared, parts
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._stores: Stores | None = None
        self._thread: EngineThread | None = None
        self._is_own_pool = parts.pool is None
        self._serving: Serving | None = None
        self._host: Host | None = None
        self._commitments = Commitments()

    async def start(self) -> None:
        """Raises Failure, StoreFault, Contradiction: nothing runs then."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        prepared, parts, loop = self.prepared, self.parts, asyncio.get_running_loop()
        config = prepared.config
        self._stores = open_stores(prepared.data)
        note_stores(prepared)
        self.parameters = self._parameters(self._stores)
        self.keys = NodeKeys(prepared.identities.all, prepared.data.identities, load=self._identities)
        self.coinbase = Coinbase(config.smeshing.coinbase, config.main.network_hrp)
        self.pool = parts.pool or Workers(f"{parts.name}-proofs", max(1, processors() - 1), WAITING_PROOFS)
        self.host = self._host = parts.host(parts.clock, self.parameters)
        self.calls = Calls(loop, self.returned)
        post = PostServices(loop, self.returned, lambda: self.smeshing.identities(), lambda: self.coinbase.is_set)
        spaces = post if parts.spaces is None else parts.spaces(self.returned)
        self.proofs = Proofs(
            config,
            self.keys,
            spaces,
            self.pool,
            self.returned,
            is_proving=lambda: post.is_proving,
            make_tools=parts.make_tools,
            idle_s=ALONE_IDLE_S if config.main.standalone else IDLE_S,
        )
        ports = Ports(
            self.host,
            self.proofs,
            Poets(config, self.calls, parts.clock.now),
            self._documents(),
            self.keys,
        )
        self.site = Site(
            config,
            prepared.data,
            self.parameters,
            self._stores,
            self.keys,
            self.keys.smeshing,
            self.host.peers,
            self.coinbase,
            parts.checker,
            self._commitments,
        )
        self.driver = Driver(self.site, ports, parts.clock, has_room=Room(prepared.data.path))
        bus = Bus(loop)
        tell_errors(prepared.log, bus)
        self.backend = Running(
            config, self.parameters, self.site, self.driver, parts.clock, bus, HostPeering(self.host), self._end
        )
        self.smeshing = self._make_smeshing()
        self._serving = parts.serving(
            Handles(prepared, self.backend, self.keys, self.smeshing, self.driver, self.pool, post, self.host)
        )
        self.driver.onlookers += (KeyWatch(self.keys), *self._serving.onlookers)
        await self._serving.start()
        await self.smeshing.begin()  # before the first turn: an identity that has its data is there from then on
        self._thread = EngineThread(f"{parts.name}-engine", self.driver, parts.clock, self._engine_ended)
        self._thread.start()

    async def stop(self) -> None:
        """Clients, then turns, then work, then stores. A second time does nothing."""
        serving, self._serving = self._serving, None
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()
        if serving is not None:
            await asyncio.gather(serving.stop(), self.smeshing.close(STOP_S))
        host, self._host = self._host, None
        if thread is None and host is not None:
            host.close()  # else the driver does
        if thread is not None:
            is_over = await asyncio.to_thread(thread.join, STOP_S)
            await self.calls.close()
            if self._is_own_pool:
                self.pool.close()
            self.proofs.close()
            if not is_over:
                log.warning("a turn takes long to end; what it has not committed by now is not kept")
                return  # the stores are its own until the process ends
        if self._stores is not None:
            (self.site.stores if hasattr(self, "site") else self._stores).close()
            self._stores = None

    @property
    def addresses(self) -> Mapping[str, str]:
        """As Serving says."""
        return {} if self._serving is None else self._serving.addresses

    @property
    def folder(self) -> Path:
        """Its data directory."""
        return self.prepared.data.path

    def _identities(self) -> Sequence[OwnIdentity]:
        """Those that are in the directory now. Raises Failure."""
        of = self.prepared
        folder, genesis_id = of.data.identities, of.genesis.genesis_id
        return identities.load(folder, genesis_id, {}, is_used=True, config=of.config, mode=of.identities.mode).all

    def _make_smeshing(self) -> Supervised | Remote:
        """The node's own identity is supervised, unless spaces are given; others have PoST services that connect."""
        own = self.prepared.identities
        if own.mode is not Mode.SUPERVISED or self.parts.spaces is not None:
            return Remote(self.keys.smeshing, self.coinbase)
        around = Surroundings(
            config=self.prepared.config,
            identity=own.all[0],
            smeshers=self.keys.smeshing,
            coinbase=self.coinbase,
            choose=self._commitments.choose,
            address=lambda: self.addresses.get("post", ""),
            tell=lambda event: self.backend.bus.publish([event]),
        )
        return Supervised(around)

    def _parameters(self, stores: Stores) -> NodeParameters:
        found = parameters_on(stores, self.prepared.config, self.prepared.parameters)
        return found if self.parts.first_beacon is None else replace(found, first_beacon=self.parts.first_beacon)

    def returned(self, call: int, result: Result) -> None:
        """What came of a call of the engine. From any thread."""
        self.driver.returned(call, result)

    def _documents(self) -> Bootstrap:
        of, network = self.prepared.config.bootstrap, self.parameters.time
        if not of.url:
            return NoDocuments(self.returned)
        return Documents(of.url, of.version, self.prepared.data.bootstrap, self.calls, network, self.parts.clock.now)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _engine_ended(self, error: Exception | None) -> None:
        loop = self.ended.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._set_ended, error)

    def _set_ended(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(error)
