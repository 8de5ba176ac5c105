"""A node: all rooms of `node/` on one engine, joined here and nowhere else, for simulation and the world alike.

| machines, in the order in which they start and are told of layers | why there |
|---|---|
| genesis | accounts and first beacon are rows before anybody reads |
| activation, poets, malfeasance | the activations are in memory before votes are counted |
| tortoise, oracle | recovered from rows, before the mesh asks it |
| transactions | the mempool is filled, before blocks are executed |
| proposals | old ones are let go, beacons counted in ballots |
| blocks | starts the mesh, makes blocks that were still to be made |
| certificates, beacon, bootstrap | stand by themselves |
| builder | own proposals, when old ones are let go |
| hare | its sessions begin when all that they look at is there |
| smeshing | the own activations |
| fetch, server | what others ask for |
| sync | processes layers: after the mesh has started |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from node.activation import tables as identities
from node.activation.machine import TOPIC as ATX_TOPIC
from node.activation.machine import ActivationMachine
from node.activation.poets import PoetMachine
from node.activation.smeshing.machine import SmeshingMachine
from node.activation.surroundings import Positions
from node.beacon.machine import BeaconMachine
from node.blocks.machine import BlockMachine
from node.bootstrap.machine import BootstrapMachine
from node.bootstrap.tables import fallback
from node.certificates.machine import CertificateMachine
from node.contract.machine import Machine
from node.engine.engine import Engine
from node.fetch.client import Fetching
from node.fetch.peers import PeerScores
from node.fetch.server import FetchServer
from node.hare.machine import HareMachine
from node.malfeasance.machine import TOPIC as MALFEASANCE_TOPIC
from node.malfeasance.machine import MalfeasanceMachine
from node.mempool.handler import TxHandler
from node.proposals.builder import BuilderMachine
from node.proposals.machine import ProposalMachine
from node.store.stores import Stores
from node.store.view import View
from node.sync.machine import SyncMachine
from node.sync.states import SyncStatus
from node.tortoise.recovery import first_layer
from protocol.post.proof import selection
from protocol.types.ids import EpochId, NodeId

from .genesis import GenesisMachine
from .objects import sources
from .parameters import NodeParameters, check
from .recovery import StoredVotes
from .rooms import Rooms, Surroundings, make_rooms
from .votes import OracleMachine, TortoiseMachine


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is to be started with `engine.start`."""

    parameters: NodeParameters
    engine: Engine
    stores: Stores
    rooms: Rooms
    sync: SyncMachine
    """Whether the node is synced, and how far."""
    hare: HareMachine | None
    """None: no version of it is enabled."""
    beacon: BeaconMachine | None
    """None: the protocol does not run."""


def assemble(
    parameters: NodeParameters,
    given: Surroundings,
    more: Callable[[Rooms], Sequence[Machine]] = lambda rooms: (),
) -> Node:
    """All rooms on the stores. more: machines of whoever drives the node. Raises Contradiction."""
    check(parameters)
    time, keys, rooms = parameters.time, given.keys, make_rooms(parameters)
    scores = PeerScores(given.peers, given.random)
    sync = SyncMachine(parameters.sync, time, scores, given.random, rooms.mesh, rooms.tortoise, rooms.patrol)
    status = sync.status
    hare = _hare(parameters, given, rooms, status)
    beacon = _beacon(parameters, given, rooms, status)
    kinds = sources(rooms.proposals)
    machines: list[Machine] = [
        GenesisMachine(parameters, rooms.vm),
        *_identities(parameters, given, rooms, status),
        TortoiseMachine(rooms.tortoise, time),
        OracleMachine(rooms.oracle, status),
        *_layers(parameters, given, rooms, status),
        *([] if beacon is None else [beacon]),
        BootstrapMachine(parameters.bootstrap, time),
        BuilderMachine(
            parameters.builder,
            time,
            keys,
            rooms.columns,
            rooms.tortoise,
            rooms.mempool,
            fallback,
            given.random,
            lambda: status.is_synced,
        ),
        *([] if hare is None else [hare]),
        *_smeshing(parameters, given, rooms, status),
        Fetching(parameters.fetch, scores, kinds),
        FetchServer(parameters.server, kinds),
        sync,
        *more(rooms),
    ]
    free = frozenset(() if hare is None else hare.topics)
    engine = Engine(
        machines,
        given.stores,
        given.checker,
        derived=rooms.derived,
        listens=lambda topic: _listens(status, topic, free),
    )
    return Node(parameters, engine, given.stores, rooms, sync, hare, beacon)


def _listens(status: SyncStatus, topic: str, free: frozenset[str]) -> bool:
    """Whether gossip on a topic is judged. free: topics that are guarded by a session. Protocol 09a, section 2.3."""
    if topic in (ATX_TOPIC, MALFEASANCE_TOPIC):
        return status.is_atx_synced
    return topic in free or status.listens


def _identities(parameters: NodeParameters, given: Surroundings, rooms: Rooms, status: SyncStatus) -> list[Machine]:
    activation = ActivationMachine(
        parameters.activation,
        parameters.time,
        given.keys,
        rooms.columns,
        rooms.followers,
        _positions(parameters, given.seed),
        lambda: status.is_atx_synced,
        lambda view: _first_epoch(parameters, view),
    )
    keeper = MalfeasanceMachine(given.keys, identities, rooms.followers, lambda: status.is_synced)
    return [activation, PoetMachine(), keeper]


def _layers(parameters: NodeParameters, given: Surroundings, rooms: Rooms, status: SyncStatus) -> list[Machine]:
    time, keys = parameters.time, given.keys
    return [
        TxHandler(rooms.vm, rooms.mempool, lambda: status.listens),
        ProposalMachine(
            parameters.proposals,
            time,
            keys,
            rooms.columns,
            rooms.tortoise,
            rooms.mesh,
            rooms.mempool,
            rooms.proposals,
            lambda: status.listens,
        ),
        BlockMachine(
            parameters.blocks,
            time,
            rooms.proposals,
            rooms.atxs,
            rooms.tortoise,
            rooms.mesh,
            rooms.executor,
            rooms.patrol,
        ),
        CertificateMachine(
            parameters.certificates, time, rooms.oracle, rooms.tortoise, keys, given.checker, status.may_sign
        ),
    ]


def _beacon(parameters: NodeParameters, given: Surroundings, rooms: Rooms, status: SyncStatus) -> BeaconMachine | None:
    if not parameters.beacon.rounds:
        return None
    beacon = BeaconMachine(parameters.beacon, parameters.time, given.keys, rooms.atxs, lambda: status.is_synced)
    rooms.followers.follow(beacon)
    return beacon


def _hare(parameters: NodeParameters, given: Surroundings, rooms: Rooms, status: SyncStatus) -> HareMachine | None:
    if not (parameters.hare3.is_enabled or parameters.hare4.is_enabled):
        return None
    return HareMachine(
        parameters.hare3,
        parameters.hare4,
        parameters.time,
        rooms.oracle,
        rooms.proposals,
        rooms.columns,
        given.keys,
        rooms.patrol,
        rooms.tortoise,
        lambda: status.is_synced,
    )


def _smeshing(parameters: NodeParameters, given: Surroundings, rooms: Rooms, status: SyncStatus) -> list[Machine]:
    if given.coinbase is None:
        return []
    machine = SmeshingMachine(
        parameters.smeshing,
        parameters.activation,
        parameters.time,
        given.keys if given.smeshers is None else given.smeshers,
        rooms.columns,
        given.coinbase,
        lambda: status.is_atx_synced,
        given.random,
    )
    return [machine]


def _positions(parameters: NodeParameters, seed: bytes) -> Positions:
    """K3 of K2 labels of each proof, by the seed of this node."""
    k2, k3 = parameters.activation.k2, parameters.activation.k3

    def choose(identity: NodeId, challenge: bytes) -> tuple[int, ...]:
        return tuple(islice(selection(k2, seed, identity, challenge), k3))

    return choose


def _first_epoch(parameters: NodeParameters, view: View) -> EpochId:
    """The first epoch whose activations are read at start: that in which the window of the tortoise begins."""
    first = first_layer(parameters.tortoise, StoredVotes(view))
    return EpochId(0) if first is None else parameters.time.epoch_of(first)
