"""The figures of a node for Prometheus: under the names of the network's programs where they have such a figure, else
under `smesher_`.

What the runtime counts is read when asked; what only machines know is asked of the engine's thread, once a reading, and
left out where that has no time. A reading is kept for a second, so that nobody can make more of them.
Specified in protocol 10-api, section 1.5.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from prometheus_client import Histogram, ProcessCollector

from api.edge import metrics
from api.edge.listen import Address, bind
from api.edge.metrics import PLAIN, Family
from api.edge.rpc import Failed, Status
from node.mempool.handler import TOPIC as TRANSACTIONS
from node.mempool.tables import PENDING
from node.runtime.driver import Driver
from node.runtime.workers import Workers
from node.store.errors import StoreFault
from node.store.view import View
from node.sync.states import SyncState

from .backend import Backend
from .counted import HARE_BUCKETS_S, Counted

if TYPE_CHECKING:
    from api.http.answers import Request
    from api.http.server import HttpServer
    from node.assembly.rooms import Rooms

log = logging.getLogger("api")

KEPT_S = 1.0
ASKED_S = 2.0
"""For the engine to answer."""
MOST_COUNTED = 50_000
"""Transactions that wait; where there are more, this many are told."""
SECONDS = 1e-9
_STATES = {SyncState.NOT_SYNCED: "not_synced", SyncState.GOSSIP: "gossip_synced", SyncState.SYNCED: "synced"}
VERIFYING, FULL = 0, 1

Kind = Literal["counter", "gauge"]
Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Machinery:
    """What a node runs on, of which there are figures."""

    driver: Driver
    workers: Workers
    streams: Callable[[], int]
    """Streams that clients hold."""
    stores: Callable[[], Mapping[str, int]]
    """Bytes on the disk, by the names of the stores."""
    clock_offset_ns: Callable[[], int | None]
    """By which the clocks of peers are ahead of this one; None: it is not known."""


@dataclass(frozen=True, slots=True)
class _Votes:
    """How far tortoise is."""

    mode: int
    ballots: int
    blocks: int
    epochs: int
    malicious: int
    layers: Values


class NodeMetrics:
    """All of them. Made and read in the loop that serves clients."""

    def __init__(self, backend: Backend, machinery: Machinery, counted: Counted) -> None:
        """counted: told of every turn by the engine."""
        self._backend, self._of, self._counted = backend, machinery, counted
        self._calls: Counter[tuple[str, Status]] = Counter()
        self._call_seconds: defaultdict[str, float] = defaultdict(float)
        self._registry = registry = metrics.registry()
        ProcessCollector(registry=registry)
        counted.on_hare_output = Histogram(
            "smesher_hare_output_seconds",
            "From the start of a layer until hare came to something in it",
            buckets=HARE_BUCKETS_S,
            registry=registry,
        ).observe
        self._kept = b""
        self._kept_until = 0.0

    def count(self, method: str, status: Status, seconds: float) -> None:
        """A call of a client was answered, over gRPC or HTTP."""
        self._calls[method, status] += 1
        self._call_seconds[method] += seconds

    async def text(self) -> bytes:
        """The exposition."""
        now = time.monotonic()
        if now >= self._kept_until:
            families = [*self._api(), *self._runtime(), *self._network(), *self._consensus()]
            families += await self._asked()
            self._kept = metrics.exposition(self._registry) + metrics.written(families)
            self._kept_until = now + KEPT_S
        return self._kept

    # ---- clients ----

    def _api(self) -> Iterator[Family]:
        calls = [
            ({"method": method, "code": status.name.lower()}, float(count))
            for (method, status), count in self._calls.items()
        ]
        seconds = [({"method": method}, float(spent)) for method, spent in self._call_seconds.items()]
        yield Family("smesher_api_requests_total", "counter", "Calls of clients that were answered", calls)
        yield Family("smesher_api_request_seconds_total", "counter", "What they took, streams as a whole", seconds)
        yield _one("smesher_api_streams", "gauge", "Streams that clients hold", self._of.streams())

    # ---- the runtime ----

    def _runtime(self) -> Iterator[Family]:
        driver, workers = self._of.driver, self._of.workers
        of = driver.measures
        yield _one("smesher_engine_turns_total", "counter", "Turns of the engine", of.turns)
        yield _one("smesher_engine_turn_seconds_total", "counter", "What all turns took", of.seconds)
        yield _one("smesher_engine_longest_turn_seconds", "gauge", "What the longest turn took", of.longest_s)
        yield _one("smesher_engine_syncs_total", "counter", "Turns synced for clients that wait", of.syncs)
        yield _one("smesher_engine_lives_total", "counter", "How often the engine was begun", of.lives)
        yield _one("smesher_layer_late_seconds", "gauge", "By how much the last layer began late", of.late_ns * SECONDS)
        yield _one("smesher_layer_latest_seconds", "gauge", "The most of all layers", of.latest_ns * SECONDS)
        urgent, usual = workers.waiting()
        waiting: Values = {lane.value: count for lane, count in driver.inbox.waiting().items()}
        waiting |= {"questions": len(driver.questions), "proofs_urgent": urgent, "proofs": usual}
        refused: Values = {lane.value: count for lane, count in dict(driver.inbox.refused).items()}
        refused |= {"questions": driver.questions.refused, "proofs": sum(dict(workers.refused).values())}
        yield _by("smesher_queue_waiting", "gauge", "What waits, by the queue", "queue", waiting)
        yield _by("smesher_queue_refused_total", "counter", "What found its queue full", "queue", refused)
        yield _by("smesher_workers_done_total", "counter", "Proofs and other long work", "kind", dict(workers.done))
        yield _by("smesher_workers_running", "gauge", "Work that is being done", "kind", dict(workers.running()))
        name = "spacemesh_activation_post_verification_waiting_total"
        yield _one(name, "gauge", "Proofs of space and other long work that wait", urgent + usual)
        yield _by("smesher_store_bytes", "gauge", "On the disk, by the store", "store", dict(self._of.stores()))
        failures = dict(self._counted.failures)
        yield _by("smesher_engine_failures_total", "counter", "Messages a machine failed on", "machine", failures)

    def _network(self) -> Iterator[Family]:
        peers = self._backend.peering.peers()
        yield _one("spacemesh_p2p_total_peers", "gauge", "Connected peers", len({one.id for one in peers}))
        yield _one("spacemesh_p2p_total_connections", "gauge", "Connections to peers", len(peers))
        node = self._of.driver.node
        judged = {} if node is None else dict(node.engine.counts)
        received: Counter[str] = Counter()
        rejected: Counter[str] = Counter()
        transactions: Counter[str] = Counter()
        for (channel, verdict, reason), count in judged.items():
            received[channel] += count
            if verdict == "reject":
                rejected[channel] += count
            if channel == TRANSACTIONS:
                transactions["saved" if verdict == "accept" else reason or verdict] += count
        name = "spacemesh_p2p_received_messages_count"
        yield _by(name, "counter", "Messages that were judged, by their topic", "protocol", received)
        offset = self._of.clock_offset_ns()
        if offset is not None:
            yield _one("spacemesh_clock_peers_offset", "gauge", "Nanoseconds that clocks of peers are ahead", offset)
        yield _by("spacemesh_p2p_rejected", "counter", "Those that no honest peer sends", "protocol", rejected)
        yield _by("spacemesh_txs_gossip_txs", "counter", "Transactions by what became of them", "outcome", transactions)
        verdicts = [
            ({"channel": channel, "verdict": verdict, "reason": reason}, float(count))
            for (channel, verdict, reason), count in judged.items()
        ]
        yield Family("smesher_engine_messages_total", "counter", "Messages by their verdicts", verdicts)

    # ---- consensus ----

    def _consensus(self) -> Iterator[Family]:
        facts, of = self._backend.facts, self._counted
        now = self._backend.now()
        current = self._backend.parameters.time.layer_at(now)
        layers: Values = {
            "current": current,
            "latest": facts.latest,
            "applied": facts.applied,
            "processed": facts.processed,
            "verified": facts.verified,
        }
        yield _by("smesher_layer", "gauge", "Layers by how far they are", "kind", layers)
        yield _one("spacemesh_vm_applied_layer", "gauge", "The newest layer in the state", facts.applied)
        yield _one("spacemesh_vm_txs", "counter", "Transactions in applied layers", of.transactions)
        yield _one("spacemesh_vm_rewards", "counter", "Smidge that was paid, with fees", of.rewards)
        yield _one("spacemesh_vm_subsidy", "counter", "Smidge of the subsidy that was paid", of.subsidy)
        yield _one("spacemesh_syncer_layer", "gauge", "The newest layer that was counted", facts.processed)
        state = "synced" if facts.is_synced else _STATES[of.sync] if of.sync is not SyncState.SYNCED else "not_synced"
        states: Values = {name: float(name == state) for name in _STATES.values()}
        states["atx_synced"] = float(facts.is_atx_synced)
        yield _by("spacemesh_syncer_sync_state", "gauge", "1 for the state that holds", "state", states)
        outcomes: dict[str, Values] = {}
        for (family, outcome), count in dict(of.events).items():
            outcomes.setdefault(family, {})[outcome] = count
        for family, name, label, help in (
            ("blocks", "spacemesh_blocks_generate", "outcome", "Blocks of layers in which hare agreed"),
            ("hare", "spacemesh_hare_session", "stage", "Sessions of hare that came to a stage"),
            ("bootstrap", "spacemesh_bootstrap_updates", "outcome", "Documents of the bootstrap service"),
            ("proposals", "smesher_proposals_total", "outcome", "Own proposals, or why there is none"),
            ("activations", "smesher_activations_total", "outcome", "Own activations and what kept them"),
            ("registrations", "smesher_poet_registrations_total", "outcome", "Answers of PoET servers"),
        ):
            yield _by(name, "counter", help, label, outcomes.get(family, {}))
        adopted, convicted = (outcomes.get(name, {}).get("", 0) for name in ("adopted", "convicted"))
        yield _one("spacemesh_syncer_adopted_cert", "counter", "Certificates of peers that were taken", adopted)
        yield _one("smesher_convicted_total", "counter", "Identities proven to have broken the rules", convicted)

    async def _asked(self) -> list[Family]:
        """What tortoise and the mempool say; nothing where they do not come to it."""
        try:
            async with asyncio.timeout(ASKED_S):
                votes = await self._backend.ask(_votes)
            with self._backend.view() as view:
                waiting = sum(1 for _ in islice(view.keys(PENDING), MOST_COUNTED))
        except (TimeoutError, Failed, StoreFault):
            return []
        return [
            _one("smesher_mempool_transactions", "gauge", f"That wait; at most {MOST_COUNTED} are told", waiting),
            _one("spacemesh_tortoise_mode", "gauge", "0: verifying, 1: full", votes.mode),
            _one("spacemesh_tortoise_ballots", "gauge", "Ballots in memory", votes.ballots),
            _one("spacemesh_tortoise_blocks", "gauge", "Blocks in memory", votes.blocks),
            _one("spacemesh_tortoise_epochs", "gauge", "Epochs in memory", votes.epochs),
            _one("spacemesh_tortoise_malfeasant", "gauge", "Malicious identities", votes.malicious),
            _by("spacemesh_tortoise_state_layers", "gauge", "How far tortoise is", "kind", votes.layers),
        ]


def _votes(rooms: Rooms, view: View) -> _Votes:
    tortoise = rooms.tortoise.inner
    state = tortoise.state
    return _Votes(
        mode=FULL if tortoise.is_full else VERIFYING,
        ballots=len(state.ballots),
        blocks=sum(len(layer.blocks) for layer in state.layers.values()),
        epochs=len(state.epochs),
        malicious=len(state.malicious),
        layers={
            "evicted": state.evicted,
            "last": state.last,
            "processed": state.processed,
            "verified": state.verified,
        },
    )


def _one(name: str, kind: Kind, help: str, value: float) -> Family:
    return Family(name, kind, help, [({}, float(value))])


def _by(name: str, kind: Kind, help: str, label: str, values: Mapping[str, float]) -> Family:
    return Family(name, kind, help, [({label: named}, float(value)) for named, value in values.items()])


async def listen(of: NodeMetrics, address: Address) -> tuple[HttpServer, int]:
    """Opens the listener for Prometheus, and returns its port. Raises UsageError, EnvironmentFault, which name the
    option.
    """
    listener = bind(address, "--metrics-port")
    server = page(of)
    port = await server.listen([listener])
    log.info("metrics on port %d", port)
    return server, port


def page(of: NodeMetrics) -> HttpServer:
    """The application of the listener for Prometheus."""
    from api.http.answers import TEXT, Answer  # most nodes have no such listener
    from api.http.server import HttpServer

    async def expose(request: Request) -> Answer:
        if request.method != "GET" or request.route != "/metrics":
            return Answer(404, b"404 page not found\n", kind=TEXT)
        return Answer(200, await of.text(), kind=PLAIN)

    return HttpServer(expose, log=log)
