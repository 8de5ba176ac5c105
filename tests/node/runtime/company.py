"""Several nodes that drivers turn, over the network of one process and virtual proofs, by a clock that is set.

The same rooms, driver and network as in the world; only the time, the space and the disk are not real.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heappop, heappush

from node.assembly.node import Node, assemble
from node.assembly.rooms import Surroundings as Given
from node.contract.demands import Demand
from node.contract.instants import Instant
from node.p2p.memory import MemoryHost, MemoryNetwork
from node.runtime.clock import SetClock
from node.runtime.driver import Driver
from node.runtime.facts import Onlooker
from node.runtime.inbox import Limits
from node.runtime.ports import Ports
from node.schema import OWN, STATE
from node.sim import ports as virtual
from node.sim.chance import Chance
from node.sim.keys import SharedChecker, SimKey, SimKeys
from node.sim.proving import SharedProver
from node.sim.scenario import Scenario
from node.sim.virtual.space import VirtualSpace
from node.sim.virtual.transfers import Wallet
from node.sim.whole import K2, config_of, poets_of, simulated, wallets_of
from node.store.memory import MemoryBackend
from node.store.own import OwnStore
from node.store.store import Backend, Store
from node.store.stores import Stores
from protocol.types.ids import Address, LayerId, NodeId

SEED = 5
EPOCH = 4
"""Layers."""


class VirtualPorts:
    """Prover, PoET servers and bootstrap documents of one node, with nothing behind them: what comes of a demand is
    told when its time has come."""

    def __init__(self, company: Company, around: virtual.Surroundings, keys: SimKeys) -> None:
        self._company = company
        self._ports = virtual.Ports(around, keys, company.prover)
        self.driver: Driver | None = None
        self.given_up: list[int] = []

    def answer(self, call: int, demand: Demand) -> None:
        """Any of them."""
        delay, result = self._ports.answer(demand, self._company.clock.now())
        assert self.driver is not None, "it is set before anything is asked"
        self._company.after(delay, partial(self.driver.returned, call, result))

    prove_post = describe_post = prove_vrf = verify_post = verify_vrf_nonce = verify_poet = answer
    certify = register = proof = document = answer

    def give_up(self, call: int) -> None:
        """As Prover says."""
        self.given_up.append(call)


@dataclass(eq=False)
class Member:
    """One node."""

    company: Company
    number: int
    keys: SimKeys
    host: MemoryHost
    around: virtual.Surroundings
    onlookers: Sequence[Onlooker] = ()
    limits: Limits | None = None
    has_room: bool = True
    backends: tuple[Backend, Backend] = field(default_factory=lambda: (MemoryBackend(), MemoryBackend()))
    starts: int = 0

    def __post_init__(self) -> None:
        virtual_ports = VirtualPorts(self.company, self.around, self.keys)
        self.ports = Ports(self.host, virtual_ports, virtual_ports, virtual_ports, self.keys)
        self.virtual = virtual_ports
        self.driver = self.virtual.driver = Driver(
            self.build, self.ports, self.company.clock, self.onlookers, self.limits, lambda: self.has_room
        )

    @property
    def node(self) -> Node:
        """Its machines, while it runs."""
        assert self.driver.node is not None, "it runs"
        return self.driver.node

    def build(self, stores: Stores | None) -> Node:
        """As Build says; its disk is in memory."""
        self.starts += 1
        state, own = self.backends
        chance = Chance(SEED).of("node", self.number, self.starts)
        identity = min((signer.identity for signer in self.keys.signers()), default=None)
        given = Given(
            stores=stores or Stores(Store(STATE, state), OwnStore(OWN, own)),
            checker=self.company.checker,
            keys=self.keys,
            seed=chance.of("positions").bytes(32),
            coinbase=None if identity is None else partial(coinbase_of, identity),
            random=chance.of("random"),
            peers=self.host.peers,
        )
        return assemble(self.company.parameters, given)


def coinbase_of(identity: NodeId) -> Address:
    """Where the rewards of an identity go."""
    return Address(bytes(4) + identity[:20])


class Company:
    """All of them."""

    def __init__(self, nodes: int = 4, onlookers: Sequence[Onlooker] = (), limits: Limits | None = None) -> None:
        scenario = Scenario(nodes=nodes, layers_per_epoch=EPOCH, transactions=4)
        config = config_of(SEED, scenario)
        if nodes == 1:  # nobody is there to be synced with
            config = replace(
                config, main=replace(config.main, standalone=True, poet_servers=config.main.poet_servers[:1])
            )
        self.parameters = simulated(config)
        self.time = self.parameters.time
        self.clock = SetClock(self.time.genesis_ns - 1)
        self.network = MemoryNetwork(self.clock)
        self.checker = SharedChecker(self.parameters.genesis_id)
        self.wallets: Sequence[Wallet] = wallets_of(SEED, scenario, self.parameters.genesis_id)
        keys = [SimKey(SEED, number, self.parameters.genesis_id) for number in range(nodes)]
        self.prover = SharedProver(keys)
        golden = self.parameters.activation.golden_atx
        around = virtual.Surroundings(
            VirtualSpace(K2, self.parameters.activation.labels_per_unit),
            {key.identity: virtual.Holding(20 + number, golden) for number, key in enumerate(keys)},
            poets_of(self.parameters),
        )
        self._actions: list[tuple[int, int, Callable[[], object]]] = []
        self._count = 0
        self.members = [
            Member(self, number, SimKeys([key]), self.network.host(), around, onlookers, limits)
            for number, key in enumerate(keys)
        ]

    def start(self) -> None:
        """All begin."""
        for member in self.members:
            member.driver.start()

    def after(self, delay: int, action: Callable[[], object]) -> None:
        """Something happens then."""
        self._count += 1
        heappush(self._actions, (self.clock.now() + delay, self._count, action))

    def settle(self) -> None:
        """All turns that are due now."""
        while True:
            due = [one.driver for one in self.members if one.driver.wakes_at() <= self.clock.now()]
            if not due:
                return
            for driver in due:
                driver.turn()

    def run_until(self, instant: int) -> None:
        """Everything that happens until then."""
        while True:
            self.settle()
            moments = [one.driver.wakes_at() for one in self.members] + [at for at, _, _ in self._actions[:1]]
            now = min(moments)
            if now > instant:
                self.clock.set(instant)
                return
            self.clock.set(Instant(now))
            while self._actions and self._actions[0][0] <= now:
                heappop(self._actions)[2]()

    def run_to(self, layer: int) -> None:
        """Until just before a layer begins."""
        self.run_until(self.time.start_ns(LayerId(layer)) - 1)
