"""A node: all rooms of `node/` on one engine, joined here and nowhere else, for simulation and the world alike.

| machines, in the order in which they start | why there |
|---|---|
| genesis | accounts and first beacon are rows before anybody reads |
| activation, poets, malfeasance | the activations are in memory before votes are counted |
| tortoise | recovered from rows, before the mesh asks it |
| transactions | the mempool is filled, before blocks are executed |
| proposals | counts the beacons that stored ballots report |
| blocks | starts the mesh, makes blocks that were still to be made |
| certificates, beacon, bootstrap | stand by themselves |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from node.activation import tables as identities
from node.activation.machine import ActivationMachine
from node.activation.poets import PoetMachine
from node.activation.surroundings import Positions
from node.beacon.machine import BeaconMachine
from node.blocks.machine import BlockMachine
from node.bootstrap.machine import BootstrapMachine
from node.certificates.machine import CertificateMachine
from node.contract.machine import Machine
from node.engine.engine import Engine
from node.hare.machine import HareMachine
from node.malfeasance.machine import MalfeasanceMachine
from node.mempool.handler import TxHandler
from node.proposals.machine import ProposalMachine
from node.store.stores import Stores
from node.store.view import View
from node.tortoise.recovery import first_layer
from protocol.post.proof import selection
from protocol.types.ids import EpochId, NodeId

from .genesis import GenesisMachine
from .parameters import NodeParameters, check
from .recovery import StoredVotes
from .rooms import Rooms, Surroundings, make_rooms
from .votes import TortoiseMachine


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is to be started with `engine.start`."""

    parameters: NodeParameters
    engine: Engine
    stores: Stores
    rooms: Rooms


def assemble(
    parameters: NodeParameters,
    given: Surroundings,
    more: Callable[[Rooms], Sequence[Machine]] = lambda rooms: (),
) -> Node:
    """All rooms on the stores. more: machines of whoever drives the node. Raises Contradiction."""
    check(parameters)
    rooms = make_rooms(parameters)
    machines = [*_machines(parameters, given, rooms), *more(rooms)]
    engine = Engine(machines, given.stores, given.checker, derived=rooms.derived)
    return Node(parameters, engine, given.stores, rooms)


def _machines(parameters: NodeParameters, given: Surroundings, rooms: Rooms) -> list[Machine]:
    time, keys, is_synced = parameters.time, given.keys, given.is_synced
    machines: list[Machine] = [
        GenesisMachine(parameters, rooms.vm),
        ActivationMachine(
            parameters.activation,
            time,
            keys,
            rooms.columns,
            rooms.followers,
            _positions(parameters, given.seed),
            is_synced,
            lambda view: _first_epoch(parameters, view),
        ),
        PoetMachine(),
        MalfeasanceMachine(keys, identities, rooms.followers, is_synced),
        TortoiseMachine(rooms.tortoise, time),
        TxHandler(rooms.vm, rooms.mempool, is_synced),
        ProposalMachine(
            parameters.proposals,
            time,
            keys,
            rooms.columns,
            rooms.tortoise,
            rooms.mesh,
            rooms.mempool,
            rooms.proposals,
            is_synced,
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
        CertificateMachine(parameters.certificates, time, rooms.oracle, rooms.tortoise, keys, given.checker),
    ]
    if parameters.beacon.rounds:
        beacon = BeaconMachine(parameters.beacon, time, keys, rooms.atxs, is_synced)
        rooms.followers.follow(beacon)
        machines.append(beacon)
    machines.append(BootstrapMachine(parameters.bootstrap, time))
    if parameters.hare3.is_enabled or parameters.hare4.is_enabled:
        hare = HareMachine(
            parameters.hare3,
            parameters.hare4,
            time,
            rooms.oracle,
            rooms.proposals,
            rooms.columns,
            keys,
            rooms.patrol,
            rooms.tortoise,
            is_synced,
        )
        machines.append(hare)
    return machines


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
