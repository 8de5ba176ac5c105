"""Small nodes for the tests of the world itself: activations, malfeasance and the beacon, on rows of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from node.activation import tables as activation_tables
from node.activation.columns import AtxColumns, AtxRow
from node.activation.machine import ActivationMachine
from node.activation.parameters import ActivationParameters
from node.activation.poets import PoetMachine
from node.assembly import catching_up
from node.assembly.parameters import parameters_of
from node.beacon.epochs import EpochAtxs
from node.beacon.machine import BEACONS, BeaconMachine
from node.contract.instants import Instant
from node.contract.owed import OWED
from node.engine.engine import Engine
from node.fetch.blobs import stored
from node.fetch.client import Fetching
from node.fetch.peers import PeerScores
from node.fetch.server import FetchServer
from node.malfeasance.machine import MalfeasanceMachine
from node.malfeasance.tables import TABLES as MALFEASANCE
from node.sim.clocks import SkewedClock
from node.sim.keys import SimKey, SimKeys
from node.sim.node import Built, Plan, Site
from node.sim.ports import Holding, Surroundings
from node.sim.role import Role
from node.sim.scenario import Scenario
from node.sim.staging import Staged, stage
from node.sim.virtual.space import VirtualSpace
from node.sim.watch import Watcher
from node.sim.whole import config_of
from node.sim.world import Setting, World
from node.store.own import SIGNED
from node.store.table import Schema
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.params.config.networks import STANDALONE
from protocol.types.fetch import Hint
from protocol.types.ids import Address, AtxId, EpochId, NodeId

from .premade import Miner, Premade, PremadePublisher, premake

GENESIS_ID = b"simulated network..."
GOLDEN = AtxId(b"g" * 32)
EPOCH = 4
"""Layers."""
TIME = NetworkTime(1_700_000_000 * SECOND, 300 * SECOND, EPOCH)
SPACE = VirtualSpace(k2=10, labels_per_unit=128)
ACTIVATION = ActivationParameters(GOLDEN, 100, 128, 2, 1000, SPACE.k2, 1)
BEACON = parameters_of(config_of(0, Scenario())).beacon
KINDS = {hint: blobs for hint, blobs in stored().items() if hint in (Hint.ATX, Hint.POET)}
SCHEMAS = (
    Schema("state", 1, (OWED, *activation_tables.TABLES, *MALFEASANCE, BEACONS)),
    Schema("own", 1, (SIGNED,)),
)


class ByColumns:
    """What the beacon asks of the activations."""

    def __init__(self, columns: AtxColumns) -> None:
        self._columns = columns

    def atxs(self, epoch: EpochId) -> EpochAtxs:
        of = self._columns.epoch(epoch)
        return EpochAtxs(of.column("node"), of.column("weight"), of.column("received"), of.column("is_malicious"))

    def nonce(self, node: NodeId, epoch: EpochId) -> int | None:
        atxs = self._columns.by_node(epoch, node)
        return atxs[0].nonce if atxs else None

    def units(self, node: NodeId, epoch: EpochId) -> int:
        atxs = self._columns.by_node(epoch, node)
        if not atxs or self._columns.is_malicious(node):
            return 0
        return atxs[0].weight // (atxs[0].height - atxs[0].base_height)


class Followers:
    """Tells the beacon of activations, and all of who broke the rules."""

    def __init__(self, columns: AtxColumns) -> None:
        self._columns = columns
        self.beacon: BeaconMachine | None = None

    def on_atx(self, epoch: EpochId, atx: AtxRow, *, is_new: bool) -> None:
        assert self.beacon is not None
        self.beacon.on_atx(epoch, atx.node, atx.weight, atx.received)

    def on_malicious(self, node: NodeId) -> None:
        self._columns.mark_malicious(node)


@dataclass(frozen=True)
class Small:
    """How the nodes of a small network are built."""

    premade: dict[tuple[NodeId, EpochId], Premade]

    def build(self, site: Site) -> Built:
        columns = AtxColumns()
        followers = Followers(columns)
        beacon = followers.beacon = BeaconMachine(BEACON, site.time, site.keys, ByColumns(columns), lambda: True)
        machines = [
            ActivationMachine(
                ACTIVATION,
                site.time,
                site.keys,
                columns,
                followers,
                lambda identity, challenge: tuple(range(SPACE.k2)),
                lambda: True,
                lambda view: EpochId(0),
            ),
            PoetMachine(),
            MalfeasanceMachine(site.keys, activation_tables, followers, lambda: True),
            beacon,
            PremadePublisher(site.keys, site.time, self.premade, from_layer=EPOCH // 2),
            Fetching(catching_up.fetch(STANDALONE.fetch), PeerScores(site.peers, site.chance.of("peers")), KINDS),
            FetchServer(catching_up.server(STANDALONE.fetch), KINDS),
        ]
        return Built(Engine(machines, site.stores, site.checker, derived=(columns,)))


@dataclass(frozen=True)
class SmallNodes:
    """A recipe of small nodes, one identity each, with activations for so many epochs."""

    epochs: int = 6
    roles: Mapping[int, Role] = field(default_factory=dict)
    """Instead of those of the scenario."""

    def time(self, scenario: Scenario) -> NetworkTime:
        return TIME

    def make(self, scenario: Scenario, seed: int, staged: Staged) -> tuple[Setting, list[Plan]]:
        keys = [SimKey(seed, number, GENESIS_ID) for number in range(scenario.nodes)]
        miners = [Miner(key, 4 + number % 3, Address(bytes(4) + b"c" * 20)) for number, key in enumerate(keys)]
        premade = premake(miners, SPACE, GOLDEN, leaves=1000, epochs=range(1, self.epochs))
        holdings = {miner.signer.identity: Holding(miner.units, GOLDEN) for miner in miners}
        plans = [
            Plan(
                number,
                SimKeys([key]),
                staged.clocks[number],
                Small(premade).build,
                SCHEMAS,
                self.roles.get(number, staged.roles[number]),
            )
            for number, key in enumerate(keys)
        ]
        around = Surroundings(SPACE, holdings)
        setting = Setting(
            TIME,
            GENESIS_ID,
            around,
            faults=staged.faults,
            crashes=staged.crashes,
            degree=scenario.degree,
            is_shared=scenario.mode == "shared",
        )
        return setting, plans


def small_world(
    seed: int, nodes: int, epochs: int, skew: Mapping[int, int] = {}, watchers: Sequence[Watcher] = (), **setting: Any
) -> World:
    """A world of small nodes that has begun. skew: nanoseconds by node; setting: fields of `Setting`."""
    scenario = Scenario(nodes=nodes, layers=epochs * EPOCH, layers_per_epoch=EPOCH)
    start = Instant(TIME.genesis_ns)
    clocks = tuple(SkewedClock(start, skew.get(number, 0)) for number in range(nodes))
    staged = replace(stage(scenario, TIME), clocks=clocks)
    made, plans = SmallNodes(epochs).make(scenario, seed, staged)
    world = World(seed, replace(made, **setting), plans, watchers)
    world.start()
    return world


def at_layer(layer: int, act: Callable[[World], None]) -> Callable[[World], None]:
    """Do something to a world when a layer begins."""

    def on_layer(world: World) -> None:
        if world.time.layer_at(world.now) == layer:
            act(world)

    return on_layer


def beacons(world: World, epoch: int) -> list[bytes | None]:
    """What each node has as the beacon of an epoch."""
    return [None if node.stores is None else node.stores.view().get(BEACONS, EpochId(epoch)) for node in world.nodes]
