"""Whole nodes: all rooms of `node/`, assembled as in the world, on virtual space and time, with coins that move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from node.activation.tables import BLOBS, POET_BLOBS
from node.assembly.node import Node, assemble
from node.assembly.parameters import NodeParameters, parameters_of
from node.assembly.rooms import Rooms
from node.assembly.rooms import Surroundings as Given
from node.contract.machine import Machine
from node.schema import OWN, STATE
from node.store.view import View
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.numbers.time import Time
from protocol.params.config import consensus
from protocol.params.config.networks import STANDALONE
from protocol.params.config.node import Config
from protocol.types import address
from protocol.types.fetch import Hint
from protocol.types.ids import Address, AtxId, EpochId, NodeId, PoetProofRef

from .keys import SimKey, SimKeys
from .node import Built, Plan, Site
from .ports import Holding, Surroundings
from .scenario import Scenario
from .staging import Staged
from .virtual.activations import Miner, Premade, PremadePublisher, premake
from .virtual.space import VirtualSpace
from .virtual.transfers import Transfers, Wallet
from .world import Setting

HRP = "sim"
START = Time(1_700_000_000, 0)
LAYER = 300 * SECOND
BALANCE = 10**12
"""Smidge of each wallet at the genesis."""
ROUND_LEAVES = 1000
K2 = 10
"""Indices of a virtual proof of space."""
FIRST_WALLET = 1_000_000
"""Keys from this number on are those of wallets."""


def wallets_of(seed: int, scenario: Scenario, genesis_id: bytes) -> list[Wallet]:
    """A wallet for each transfer of a layer, at least one a node if there are any."""
    count = 0 if not scenario.transactions else max(2, scenario.transactions)
    return [Wallet(SimKey(seed, FIRST_WALLET + number, genesis_id)) for number in range(count)]


@cache
def config_of(seed: int, scenario: Scenario) -> Config:
    """The settings of a simulated network: the proportions of the main one, in epochs of few layers."""
    accounts = {address.to_text(one.address, HRP): BALANCE for one in wallets_of(seed, scenario, b"")}
    committee = 50
    return replace(
        STANDALONE,
        main=replace(
            STANDALONE.main,
            layer_duration_ns=LAYER,
            layer_average_size=min(50, max(10, 2 * scenario.nodes)),
            layers_per_epoch=scenario.layers_per_epoch,
            network_hrp=HRP,
            block_gas_limit=100_107_000,
            atx_grade_delay_ns=30 * SECOND,
            # small networks have few identities: one that is known to cheat is a large part of all
            miner_good_atxs_percent=60,
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
        syncer=replace(STANDALONE.syncer, interval_ns=60 * SECOND),
        post=replace(STANDALONE.post, labels_per_unit=128, k2=K2, k3=K2, min_numunits=1, max_numunits=1000),
    )


@dataclass(frozen=True, slots=True)
class Whole:
    """What the nodes of one run are built of."""

    parameters: NodeParameters
    premade: Mapping[tuple[NodeId, EpochId], Premade]
    wallets: tuple[tuple[Wallet, ...], ...]
    """By node."""
    transfers: tuple[int, ...]
    """In a layer, by node."""

    def build(self, site: Site) -> Built:
        """All rooms."""

        def more(rooms: Rooms) -> list[Machine]:
            everybody = [wallet.address for wallets in self.wallets for wallet in wallets]
            return [
                PremadePublisher(site.keys, site.time, self.premade, from_layer=site.time.layers_per_epoch // 2),
                Transfers(self.wallets[site.number], everybody, rooms.mempool, site.time, self.transfers[site.number]),
            ]

        given = Given(
            site.stores,
            site.checker,
            site.keys,
            site.chance.of("positions").bytes(32),
            site.chance.of("node"),
            site.peers,
        )
        node = assemble(self.parameters, given, more)
        return Built(node.engine, objects, lambda: int(node.rooms.tortoise.verified), node)


def objects(view: View, hint: str, id: bytes) -> bytes | None:
    """What peers are handed, where no machine serves them."""
    if hint == Hint.ATX:
        return view.get(BLOBS, AtxId(id))
    return view.get(POET_BLOBS, PoetProofRef(id)) if hint == Hint.POET else None


@dataclass(frozen=True, slots=True)
class WholeNodes:
    """The recipe: one identity a node, of about the same weight each."""

    quantum: int = 10_000_000
    """Nanoseconds in which arrivals are one turn."""

    def time(self, scenario: Scenario) -> NetworkTime:
        """As Recipe says."""
        return NetworkTime(START.unix_ns, LAYER, scenario.layers_per_epoch)

    def units(self, node: int) -> int:
        """Space units of a node's identity."""
        return 20 + node % 5

    def make(self, scenario: Scenario, seed: int, staged: Staged) -> tuple[Setting, list[Plan]]:
        """As Recipe says."""
        genesis_id = config_of(seed, scenario).genesis.identity.genesis_id
        parameters = parameters_of(config_of(seed, scenario))
        assert parameters.time == self.time(scenario), "a recipe says the time of its nodes"
        keys = [SimKey(seed, number, genesis_id) for number in range(scenario.nodes)]
        coinbases = [Address(bytes(4) + key.identity[:20]) for key in keys]
        miners = [Miner(key, self.units(number), coinbases[number]) for number, key in enumerate(keys)]
        space = VirtualSpace(K2, parameters.activation.labels_per_unit)
        golden = parameters.activation.golden_atx
        epochs = range(1, scenario.layers // scenario.layers_per_epoch + 2)
        premade = premake(miners, space, golden, ROUND_LEAVES, epochs)
        wallets = wallets_of(seed, scenario, genesis_id)
        shared = tuple(tuple(wallets[number :: scenario.nodes]) for number in range(scenario.nodes))
        whole = Whole(parameters, premade, shared, tuple(len(one) for one in shared))
        plans = [
            Plan(number, SimKeys([key]), staged.clocks[number], whole.build, (STATE, OWN), staged.roles[number])
            for number, key in enumerate(keys)
        ]
        holdings = {miner.signer.identity: Holding(miner.units, golden) for miner in miners}
        setting = Setting(
            parameters.time,
            genesis_id,
            Surroundings(space, holdings),
            faults=staged.faults,
            crashes=staged.crashes,
            degree=scenario.degree,
            is_shared=scenario.mode == "shared",
            quantum=self.quantum,
        )
        return setting, plans


def node_of(built: Built) -> Node:
    """The rooms of a whole node."""
    assert isinstance(built.node, Node), "of this recipe"
    return built.node
