"""The rooms of a node that answer at once, made once and given to all machines that call them; and what a node is given
from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.activation.columns import AtxColumns
from node.blocks.patrol import LayerPatrol
from node.bootstrap.tables import fallback
from node.contract.checks import Checker
from node.contract.machine import Derived
from node.contract.messages import PeerId
from node.contract.ports import Keys, Random
from node.ledger.vm import Vm
from node.mempool.pool import Mempool
from node.mesh.executor import Executor
from node.mesh.mesh import Mesh
from node.proposals.oracle import ActiveSetOracle
from node.proposals.parameters import StoreBounds
from node.proposals.store import ProposalStore
from node.store.stores import Stores
from protocol.types.ids import Address

from .atxs import Followers, KnownAtxs
from .parameters import NodeParameters
from .votes import NodeTortoise


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a node is given. All else comes and goes as inputs and outputs of the engine."""

    stores: Stores
    checker: Checker
    keys: Keys
    seed: bytes
    """By which this node chooses the labels of proofs that it checks: others than other nodes."""
    random: Random
    peers: Callable[[], Sequence[PeerId]]
    """Who is connected, as of the port `Network`."""
    coinbase: Callable[[], Address] | None = None
    """Where the rewards of activations go that are signed from now on; None: this node makes none."""
    smeshers: Keys | None = None
    """The identities whose activations are made, of all in `keys`; None: all of them."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """For machines and for queries. What they hold is changed within units of the engine alone."""

    columns: AtxColumns
    """The activations of recent epochs."""
    atxs: KnownAtxs
    """The same, as other rooms ask for them."""
    tortoise: NodeTortoise
    followers: Followers
    """Who is told of activations and of malicious identities."""
    vm: Vm
    mempool: Mempool
    executor: Executor
    mesh: Mesh
    oracle: ActiveSetOracle
    """Who takes part in a layer."""
    proposals: ProposalStore
    """Those of the last layers."""
    patrol: LayerPatrol
    """In which layers hare is in charge."""

    @property
    def derived(self) -> tuple[Derived, ...]:
        """All that have a memory which follows from rows."""
        return (self.columns, self.tortoise, self.mempool, self.mesh, self.oracle, self.proposals, self.patrol)


def make_rooms(parameters: NodeParameters) -> Rooms:
    """The rooms of a node that has not started: empty."""
    time = parameters.time
    columns = AtxColumns()
    atxs = KnownAtxs(columns, time)
    tortoise = NodeTortoise(parameters.tortoise, atxs)
    vm, mempool = Vm(parameters.vm), Mempool()
    executor = Executor(vm, mempool, atxs.rewarded)
    return Rooms(
        columns=columns,
        atxs=atxs,
        tortoise=tortoise,
        followers=Followers(columns, tortoise),
        vm=vm,
        mempool=mempool,
        executor=executor,
        mesh=Mesh(parameters.mesh, tortoise, executor, mempool),
        oracle=ActiveSetOracle(time, parameters.confidence, columns, fallback),
        proposals=ProposalStore(StoreBounds(parameters.tortoise.zdist + 1)),
        patrol=LayerPatrol(),
    )
