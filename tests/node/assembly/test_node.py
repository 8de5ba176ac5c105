"""A node as it is assembled: how it begins, what it listens to, and which machines a network has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.assembly.node import Node, assemble
from node.assembly.parameters import NodeParameters, parameters_of
from node.assembly.rooms import Surroundings
from node.beacon.machine import BEACONS
from node.beacon.memory import PROPOSALS as BEACON_PROPOSALS
from node.certificates.machine import TOPIC as CERTIFY
from node.contract.checks import NetworkChecker
from node.contract.inputs import Tick
from node.contract.instants import Instant
from node.contract.messages import Message, Origin, PeerId
from node.engine.edges import Input, Judge
from node.ledger import state
from node.ledger.tables import ACCOUNTS
from node.malfeasance.machine import TOPIC as MALFEASANCE
from node.mempool.handler import TOPIC as TRANSACTIONS
from node.mesh.mesh import GENESIS_MESH_HASH
from node.mesh.tables import MESH_HASHES
from node.proposals.machine import TOPIC as PROPOSALS
from node.sim.chance import Chance
from node.store.memory import MemoryBackend
from node.sync.states import SyncState
from protocol.numbers.time import Time
from protocol.params.config import networks
from protocol.types.ids import EMPTY_ADDRESS, Address, EpochId, LayerId
from tests.support.node_stores import stores_over
from tests.vector_cases.consensus_support import Keys

ALICE, BOB = Address(bytes(4) + b"\x01" * 20), Address(bytes(4) + b"\x02" * 20)
PEER = PeerId(b"a peer")


def parameters(name: str = "standalone") -> NodeParameters:
    config = networks.BY_NAME[name]
    genesis = replace(config.genesis, time=Time(1_700_000_000, 0), extra_data="assembled")
    return replace(parameters_of(replace(config, genesis=genesis)), accounts={ALICE: 5, BOB: 7})


class Started:
    """A node that has started, on stores that another one may take over."""

    def __init__(self, of: NodeParameters, layer: int = 0, backends: tuple[MemoryBackend, ...] = ()) -> None:
        self.backends = backends or (MemoryBackend(), MemoryBackend())
        self.now = Instant(of.time.start_ns(layer))
        given = Surroundings(
            stores_over(self.backends),
            NetworkChecker(of.genesis_id),
            Keys(),
            seed=bytes(32),
            coinbase=lambda: EMPTY_ADDRESS,
            random=Chance(1),
            peers=lambda: [],
        )
        self.node: Node = assemble(of, given)
        self.node.engine.start(self.now)

    def hears(self, *topics: str) -> list[str]:
        """Why nonsense on each of these topics goes no further."""
        inputs: list[Input] = [Message(topic, b"\xff", Origin.GOSSIP, self.now, PEER) for topic in topics]
        outputs = self.node.engine.turn(inputs, self.now)
        found = {one.message.channel: one.verdict.reason for one in outputs if isinstance(one, Judge)}
        return [found[topic] for topic in topics]


def test_a_ledger_begins_with_its_accounts_and_a_network_of_one_node_with_a_beacon() -> None:
    of = parameters()
    first = Started(of)
    view = first.node.stores.view()
    assert {address: view.get(ACCOUNTS, address).balance for address in (ALICE, BOB)} == {ALICE: 5, BOB: 7}  # type: ignore[union-attr]
    assert view.get(BEACONS, EpochId(2)) == of.genesis_id[:4]
    assert view.get(MESH_HASHES, of.time.effective_genesis) == GENESIS_MESH_HASH
    assert state.last_applied(view) is None
    assert first.node.rooms.mesh.in_state == of.time.effective_genesis
    again = Started(of, 3, first.backends)
    assert dict(again.node.stores.view().scan(ACCOUNTS)) == dict(view.scan(ACCOUNTS))


def test_a_ledger_that_a_checkpoint_has_restored_gets_no_coins_again() -> None:
    of = parameters()
    time = of.time.restored_at(30)
    genesis = time.effective_genesis
    moved = replace(
        of,
        time=time,
        mesh=replace(of.mesh, effective_genesis=genesis),
        tortoise=replace(of.tortoise, effective_genesis=genesis),
        vm=replace(of.vm, effective_genesis=genesis),
    )
    view = Started(moved, 31).node.stores.view()
    assert list(view.keys(ACCOUNTS)) == []
    assert view.get(MESH_HASHES, LayerId(29)) == GENESIS_MESH_HASH and view.has(BEACONS, EpochId(3))


def test_a_node_listens_only_as_far_as_it_can_judge() -> None:
    of = parameters()
    late = Started(of, 25)
    topics = ("ax1", MALFEASANCE, PROPOSALS, TRANSACTIONS, CERTIFY, BEACON_PROPOSALS, of.hare3.topic)
    assert late.node.sync.status.state is SyncState.NOT_SYNCED
    assert late.hears(*topics) == ["not_synced"] * 6 + ["malformed"], "a session guards the topic of hare"
    early = Started(of)
    early.node.engine.turn([Tick(LayerId(0), early.now)], early.now)
    assert early.hears(*topics) == ["malformed"] * 7


@pytest.mark.parametrize("name", networks.BY_NAME)
def test_every_network_has_the_machines_that_its_parameters_ask_for(name: str) -> None:
    of = parameters(name)
    node = Started(of).node
    assert (node.beacon is None) is (of.beacon.rounds == 0) is (name == "mainnet")
    assert (node.hare is None) is not (of.hare3.is_enabled or of.hare4.is_enabled)
    off = Started(replace(of, hare3=replace(of.hare3, is_enabled=False))).node
    assert off.hare is None
