"""Whole nodes: all rooms of `node/`, assembled as in the world, on virtual space and time, with coins that move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from node.assembly.node import assemble
from node.assembly.parameters import NodeParameters, parameters_of
from node.assembly.rooms import Rooms
from node.assembly.rooms import Surroundings as Given
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.schema import OWN, STATE
from node.tortoise.thresholds import expected_weight, global_threshold
from node.tortoise.tortoise import Tortoise
from protocol.numbers.durations import MILLISECOND, SECOND
from protocol.numbers.layers import NetworkTime
from protocol.numbers.time import Time
from protocol.params.config import consensus
from protocol.params.config.networks import STANDALONE
from protocol.params.config.node import Config
from protocol.params.config.services import PoetServer
from protocol.types import address
from protocol.types.ids import BEACON_SIZE, Address, Beacon, LayerId, NodeId

from .keys import SimKey, SimKeys
from .node import Built, Plan, Site
from .ports import Holding, Surroundings
from .scenario import Scenario
from .staging import Staged
from .virtual.space import VirtualSpace
from .virtual.time import VirtualPoet
from .virtual.transfers import Transfers, Wallet
from .world import LARGE, Setting

HRP = "sim"
START = Time(1_700_000_000, 0)
LAYER = 300 * SECOND
BALANCE = 10**12
"""Smidge of each wallet at the genesis."""
POETS = {"poet-of-many-leaves": 1000, "poet-of-fewer-leaves": 900}
"""Leaves of each round, by the address of the server."""
K2 = 10
"""Indices of a virtual proof of space."""
FIRST_WALLET = 1_000_000
"""Keys from this number on are those of wallets."""
QUANTUM = 10 * MILLISECOND
"""In which arrivals are one turn; in large networks five times as long: less exact, and half as much work."""


def wallets_of(seed: int, scenario: Scenario, genesis_id: bytes) -> list[Wallet]:
    """A wallet for each transfer of a layer, at least one a node if there are any."""
    count = 0 if not scenario.transactions else max(2, scenario.transactions)
    return [Wallet(SimKey(seed, FIRST_WALLET + number, genesis_id)) for number in range(count)]


@lru_cache(maxsize=2)  # a process may run many thousands of seeds, one after another
def config_of(seed: int, scenario: Scenario) -> Config:
    """The settings of a simulated network: the proportions of the main one, in epochs of few layers."""
    accounts = {address.to_text(one.address, HRP): BALANCE for one in wallets_of(seed, scenario, b"")}
    committee = 50
    return replace(
        STANDALONE,
        main=replace(
            STANDALONE.main,
            standalone=False,
            layer_duration_ns=LAYER,
            layer_average_size=min(50, max(10, 2 * scenario.nodes)),
            layers_per_epoch=scenario.layers_per_epoch,
            network_hrp=HRP,
            block_gas_limit=100_107_000,
            atx_grade_delay_ns=30 * SECOND,
            # small networks have few identities: one that is known to cheat is a large part of all
            miner_good_atxs_percent=60,
            poet_servers=tuple(PoetServer(address) for address in POETS),
        ),
        genesis=replace(STANDALONE.genesis, time=START, extra_data="simulation", accounts=accounts),
        tortoise=consensus.Tortoise(hdist=4, zdist=2, window_size=10 * scenario.layers_per_epoch),
        hare3=replace(STANDALONE.hare3, enable=False),
        hare4=consensus.Hare(
            enable=True,
            committee=committee,
            preround_delay_ns=25 * SECOND,
            round_duration_ns=10 * SECOND,
            protocolname="/h/4.0",
        ),
        certificate=consensus.Certificate(committee_size=committee),
        beacon=consensus.Beacon(
            rounds_number=5,
            grace_period_duration_ns=10 * SECOND,
            proposal_duration_ns=60 * SECOND,
            first_voting_round_duration_ns=60 * SECOND,
            voting_round_duration_ns=30 * SECOND,
            weak_coin_round_duration_ns=30 * SECOND,
            sync_weight_units=10,
        ),
        poet=replace(
            STANDALONE.poet,
            phase_shift_ns=max(1, scenario.layers_per_epoch // 4) * LAYER,
            cycle_gap_ns=LAYER // 2,
            grace_period_ns=LAYER // 2,
            retry_delay_ns=5 * SECOND,
        ),
        syncer=replace(STANDALONE.syncer, interval_ns=60 * SECOND),
        post=replace(STANDALONE.post, labels_per_unit=128, k2=K2, k3=K2, min_numunits=1, max_numunits=1000),
    )


def simulated(config: Config) -> NodeParameters:
    """What nodes are given by these settings; and the first beacon, on which nobody can have agreed. On a real network
    it is published."""
    return replace(parameters_of(config), first_beacon=Beacon(config.genesis.identity.genesis_id[:BEACON_SIZE]))


@dataclass(frozen=True, slots=True)
class Whole:
    """What the nodes of one run are built of."""

    parameters: NodeParameters
    wallets: Sequence[Wallet]
    """Of all nodes, in turns."""
    nodes: int

    def build(self, site: Site) -> Built:
        """All rooms, and coins that move."""

        def more(rooms: Rooms) -> list[Machine]:
            own, everybody = self.wallets[site.number :: self.nodes], [wallet.address for wallet in self.wallets]
            return [Transfers(own, everybody, rooms.mempool, site.time)]

        identity = min(site.identities, default=None)
        given = Given(
            stores=site.stores,
            checker=site.checker,
            keys=site.keys,
            seed=site.chance.of("positions").bytes(32),
            coinbase=None if identity is None else partial(_coinbase_of, identity),
            random=site.chance.of("node"),
            peers=site.peers,
        )
        node = assemble(self.parameters, given, more)
        tortoise, oracle = node.rooms.tortoise, node.rooms.oracle
        return Built(
            node.engine,
            verified=lambda: int(tortoise.verified),
            margin=lambda layer: margin(tortoise.inner, layer),
            committee=lambda epoch: None if (set := oracle.known(epoch)) is None else frozenset(set.members),
            node=node,
        )


def _coinbase_of(identity: NodeId) -> Address:
    return Address(bytes(4) + identity[:20])


def margin(tortoise: Tortoise, layer: LayerId) -> float | None:
    """As `Seen.margin` says."""
    state = tortoise.state
    if not state.evicted < layer < state.processed:
        return None
    found = tortoise.verifying.total_good - tortoise.verifying.good_uncounted(layer)
    found -= max(0, expected_weight(state, layer) - found)
    threshold = global_threshold(state, layer)
    return found / threshold if threshold else None


class WholeNodes:
    """The recipe: one identity a node, of about the same weight each."""

    def time(self, scenario: Scenario) -> NetworkTime:
        """As Recipe says."""
        return NetworkTime(START.unix_ns, LAYER, scenario.layers_per_epoch)

    def units(self, node: int) -> int:
        """Space units of a node's identity."""
        return 20 + node % 5

    def make(self, scenario: Scenario, seed: int, staged: Staged) -> tuple[Setting, list[Plan]]:
        """As Recipe says."""
        genesis_id = config_of(seed, scenario).genesis.identity.genesis_id
        parameters = simulated(config_of(seed, scenario))
        assert parameters.time == self.time(scenario), "a recipe says the time of its nodes"
        keys = [SimKey(seed, number, genesis_id) for number in range(scenario.nodes)]
        golden = parameters.activation.golden_atx
        whole = Whole(parameters, wallets_of(seed, scenario, genesis_id), scenario.nodes)
        plans = [
            Plan(number, SimKeys([key]), staged.clocks[number], whole.build, (STATE, OWN), staged.roles[number])
            for number, key in enumerate(keys)
        ]
        around = Surroundings(
            VirtualSpace(K2, parameters.activation.labels_per_unit),
            {key.identity: Holding(self.units(number), golden) for number, key in enumerate(keys)},
            poets_of(parameters),
        )
        setting = Setting(
            parameters.time,
            genesis_id,
            around,
            faults=staged.faults,
            crashes=staged.crashes,
            degree=scenario.degree,
            is_shared=scenario.mode == "shared",
            quantum=QUANTUM * (5 if scenario.nodes > LARGE else 1),
        )
        return setting, plans


def poets_of(parameters: NodeParameters) -> dict[str, VirtualPoet]:
    """The servers of a network, whose rounds have the times that all nodes know."""
    time, of = parameters.time, parameters.smeshing
    epoch = time.layers_per_epoch * time.layer_duration_ns
    start = Instant(time.genesis_ns + of.phase_shift)
    return {name: VirtualPoet(name, start, epoch, epoch - of.cycle_gap, leaves) for name, leaves in POETS.items()}
