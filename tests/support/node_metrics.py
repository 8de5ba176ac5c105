"""The figures of a node over stores, of which something is to be told in every family."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from api.edge.rpc import Status
from api.services.node.backend import PeerFacts
from api.services.node.counted import Counted
from api.services.node.metrics import Machinery, NodeMetrics
from node.blocks.machine import BlockMade, BlockNotMade
from node.bootstrap.machine import FallbackTaken
from node.engine.errors import MachineFailed
from node.hare.events import HareAgreed, HareBegan, HareEnded
from node.malfeasance.machine import Convicted
from node.proposals.builder import ProposalNotMade
from node.runtime.driver import Driver
from node.runtime.workers import Work, Workers
from node.store.view import Rows
from node.sync.opinions import CertificateAdopted
from node.sync.states import SyncState, SyncStateChanged
from protocol.params.config.networks import BY_NAME
from protocol.types.ids import BlockId, EpochId, LayerId, NodeId
from tests.support.node_backend import Company, StoresBackend

LAYER = LayerId(9)
BLOCK = BlockId(b"b" * 20)
EVENTS = (
    BlockMade(LAYER, BLOCK),
    BlockMade(LAYER, BlockId(bytes(20))),
    BlockNotMade(LAYER, "too_many_waiting"),
    HareBegan(LAYER, 1),
    HareAgreed(LAYER, (), 1),
    HareEnded(LAYER, True, 7),
    CertificateAdopted(LAYER, BLOCK),
    FallbackTaken(EpochId(2), None, True),
    SyncStateChanged(SyncState.NOT_SYNCED, SyncState.GOSSIP, LAYER, LAYER),
    Convicted(NodeId(bytes(32)), b"", False),
    ProposalNotMade(None, LAYER, "beacon_missing"),
    MachineFailed("hare", "b1", "KeyError"),
)


@dataclass(slots=True)
class MeasuredNode:
    """A node and its figures."""

    backend: StoresBackend
    driver: Driver
    counted: Counted
    metrics: NodeMetrics
    streams: list[int] = field(default_factory=lambda: [3])

    def told(self, *events: object) -> None:
        """A turn without rows in which machines told of these."""
        with self.backend.view() as view:
            self.counted.committed(Rows(view), events, self.backend.facts)


class _Nowhere:
    """Stands for ports that nothing leaves by: the driver is not started."""


@contextmanager
def measured_node() -> Iterator[MeasuredNode]:
    """Inside a running loop."""
    peer = PeerFacts("p", ("/ip4/1.2.3.4/tcp/1",), 1, True)
    backend = StoresBackend(BY_NAME["fastnet"], loop=asyncio.get_running_loop(), company=Company(peers=[peer, peer]))
    backend.at_layer(LAYER)
    driver = Driver(lambda stores: backend.node, _Nowhere(), _Clock(backend))  # type: ignore[arg-type]
    driver.node = backend.node
    driver.node.engine.counts.update(
        {("tx1", "accept", ""): 5, ("tx1", "ignore", "known"): 2, ("b1", "reject", "x"): 1}
    )
    workers = Workers("measured", 1, 4)
    counted = Counted(backend.parameters, backend.now)
    streams = [3]
    machinery = Machinery(driver, workers, lambda: streams[0], lambda: {"state": 4096, "own": 1024}, lambda: 1500)
    node = MeasuredNode(backend, driver, counted, NodeMetrics(backend, machinery, counted), streams)
    try:
        workers.put(Work(1, "post", lambda: None))
        node.metrics.count("spacemesh.v1.NodeService/Status", Status.OK, 0.5)
        node.metrics.count("spacemesh.v1.NodeService/Status", Status.INVALID_ARGUMENT, 0.25)
        node.told(*EVENTS)
        yield node
    finally:
        workers.close(5.0)


class _Clock:
    def __init__(self, backend: StoresBackend) -> None:
        self.now = backend.now
