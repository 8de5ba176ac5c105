"""A world: nodes, the network between them, time, and who looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from node.contract.checks import Checker, NetworkChecker
from node.contract.instants import Instant
from protocol.numbers.durations import MILLISECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import LayerId

from .chance import Chance
from .disk import Crash
from .eventlog import EventLog
from .keys import SharedChecker
from .links import Latency, LinkFault, Links
from .network import Network
from .node import Plan, SimNode
from .ports import Ports, Surroundings
from .proving import SharedProver, prepare
from .timeline import Timeline
from .watch import Watcher

LARGE = 20
"""Nodes above which a network is worth that code is compiled for it, and that arrivals are less exact."""


@dataclass(frozen=True, slots=True)
class CrashAt:
    """A node goes down."""

    at: Instant
    node: int
    kind: Crash
    downtime: int
    """Nanoseconds."""
    write: int = 0
    """Above 0: not at once, but in so many-th write of a batch from then on."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where nodes live."""

    time: NetworkTime
    genesis_id: bytes
    around: Surroundings
    latency: Latency = field(default_factory=Latency)
    faults: tuple[LinkFault, ...] = ()
    crashes: tuple[CrashAt, ...] = ()
    degree: int = 0
    """Neighbours in the overlay of gossip; 0: gossip goes directly."""
    is_shared: bool = True
    """Whether signatures are judged once for all nodes."""
    quantum: int = MILLISECOND


class World:
    """Everything, from one seed."""

    def __init__(self, seed: int, setting: Setting, plans: Sequence[Plan], watchers: Iterable[Watcher] = ()) -> None:
        self.setting, self.time = setting, setting.time
        chance = Chance(seed, "world")
        self.timeline = Timeline(Instant(setting.time.genesis_ns))
        self.log = EventLog()
        self.watchers: list[Watcher] = [self.log, *watchers]
        self.links = Links(len(plans), setting.latency, setting.faults, chance.of("links"))
        self.network = Network(self.timeline, self.links, chance.of("network"), setting.degree, setting.quantum)
        shared: Checker = SharedChecker(setting.genesis_id)
        keys = [key for plan in plans for key in plan.keys.all()]
        prepare(is_worth_compiling=len(keys) > LARGE)
        prover = SharedProver(keys, shared.vrf_proofs if setting.is_shared else None)
        self.nodes = [
            SimNode(
                plan,
                setting.time,
                self.timeline,
                self.network,
                Ports(setting.around, plan.keys, prover),
                shared if setting.is_shared else NetworkChecker(setting.genesis_id),
                chance.of("node", plan.number),
                self.watchers,
            )
            for plan in plans
        ]
        self.network.join(self.nodes)
        for crash in setting.crashes:
            self._plan(crash)
        self._layer = LayerId(0)

    @property
    def now(self) -> Instant:
        """The time of the world."""
        return self.timeline.now()

    @property
    def honest(self) -> list[SimNode]:
        """The nodes that keep to the rules."""
        return [node for node in self.nodes if node.is_honest]

    def start(self) -> None:
        """All nodes begin."""
        for node in self.nodes:
            node.start()

    def run_until(self, layer: int, is_over: Callable[[], bool] = lambda: False) -> None:
        """Up to the begin of a layer, by the time of the world; or until something is over."""
        while self._layer < layer and not is_over():
            self.timeline.run_until(Instant(self.time.start_ns(self._layer + 1)))
            self._layer = LayerId(self._layer + 1)
            self.network.layer_began()
            for watcher in self.watchers:
                watcher.layer_began(self._layer)

    def end(self) -> None:
        """Tell everybody who looks on."""
        for watcher in self.watchers:
            watcher.ended()

    def _plan(self, crash: CrashAt) -> None:
        node = self.nodes[crash.node]

        def fall() -> None:
            if crash.write:
                node.crash_in_write(crash.kind, crash.downtime, crash.write)
            else:
                node.crash(crash.kind, crash.downtime)

        self.timeline.at(crash.at, fall)
