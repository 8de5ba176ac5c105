"""A layer from what hare agreed on to the state, through the engine: blocks, certificates, mesh, executor, ledger.

Stand-ins are hare, the keeper of proposals, and tortoise, which follows hare one layer behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.beacon.machine import BEACONS
from node.blocks.machine import BlockMachine, BlockMade, BlockNotMade
from node.blocks.parameters import BlockParameters
from node.blocks.patrol import LayerPatrol
from node.blocks.tables import AGREED
from node.certificates.machine import CertificateMachine
from node.certificates.parameters import CertificateParameters
from node.certificates.tables import CERTIFICATES, HARE_OUTPUTS, hare_output
from node.contract.checks import NetworkChecker
from node.contract.demands import Failed, Fetch, ProveVrf
from node.contract.effects import Emit
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message
from node.contract.owed import OWED
from node.contract.steps import Judged
from node.contract.verdicts import ACCEPT
from node.eligibility.active_set import ActiveSet, Member
from node.engine.edges import Call, Send
from node.ledger import state
from node.ledger import tables as ledger
from node.ledger.parameters import VmParameters
from node.ledger.vm import Vm
from node.mempool import tables as mempool
from node.mempool.pool import Mempool
from node.mesh import tables as mesh_tables
from node.mesh.executor import Executor
from node.mesh.mesh import Mesh, MeshParameters
from node.mesh.tables import BLOCKS, MESH_HASHES, NO_MESH_HASH, VALIDITY
from node.store.memory import MemoryBackend
from node.store.own import SIGNED, Kind, OwnStore, Slot
from node.store.store import Backend, Store
from node.store.stores import Stores
from node.store.table import Schema
from node.store.view import Rows, View
from node.tortoise.results import BlockResult, LayerResult
from protocol.crypto.hashing import hash32
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import Ballot, EpochData, InnerBallot, Vote, Votes, VotingEligibility
from protocol.types.certificates import CertifyMessage
from protocol.types.fetch import Hint
from protocol.types.ids import (
    EMPTY_BALLOT_ID,
    EMPTY_BLOCK_ID,
    Address,
    AtxId,
    Beacon,
    BlockId,
    EdSignature,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    ProposalId,
    VrfSignature,
)
from protocol.types.proposals import InnerProposal, Proposal
from tests.node.contract.world import GENESIS, GENESIS_ID, LAYER, World, at
from tests.vector_cases.consensus_support import Key, Keys

TIME = NetworkTime(GENESIS, LAYER, 4)
FIRST = LayerId(TIME.effective_genesis + 1)
KEY = Key("07" * 32, GENESIS_ID)
ATX = AtxId(b"\x22" * 32)
BEACON = Beacon(b"\1\2\3\4")
COINBASE = Address(bytes(4) + b"\x77" * 20)
TABLES = (
    OWED,
    AGREED,
    BEACONS,
    CERTIFICATES,
    HARE_OUTPUTS,
    *ledger.TABLES,
    *mempool.TABLES,
    *mesh_tables.TABLES,
)


@dataclass(frozen=True, slots=True)
class Atx:
    smesher_id: NodeId = KEY.identity
    coinbase: Address = COINBASE
    weight: int = 100
    base_tick_height: int = 7


class Atxs:
    def atx(self, layer: LayerId, id: AtxId) -> Atx | None:
        return Atx() if id == ATX else None

    def missing_active_set(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        return []

    def active_set(self, view: View, layer: LayerId) -> ActiveSet:
        return ActiveSet({KEY.identity: Member(ATX, 100)}, 100)


class Hare(Machine):
    """Agrees on what it is sent: four bytes of the layer, then ids."""

    name, topics = "hare", ("agree",)

    def admit(self, message: Message, view: View, now: Instant) -> Judged:
        layer, ids = LayerId(int.from_bytes(message.data[:4], "big")), message.data[4:]
        rows = Rows(view)
        rows.put(AGREED, layer, [ProposalId(ids[at : at + 20]) for at in range(0, len(ids), 20)])
        return Judged(ACCEPT, rows)


class Keeper(Machine):
    """Keeps every proposal that a peer sends."""

    name, hints = "proposals", (Hint.PROPOSAL,)

    def __init__(self) -> None:
        self.kept: dict[ProposalId, Proposal] = {}

    def admit(self, message: Message, view: View, now: Instant) -> Judged:
        proposal = Proposal.codec.decode(message.data)
        self.kept[proposal.id()] = proposal
        return Judged(ACCEPT)

    def proposal(self, view: View, layer: LayerId, id: ProposalId) -> Proposal | None:
        return self.kept.get(id)


class Tortoise:
    """Holds what hare came to for right, and a layer for verified once it counts a later one."""

    def __init__(self) -> None:
        self.touches = 0
        self.last = LayerId(0)
        self.blocks: dict[BlockId, Vote] = {}
        self.hare: dict[LayerId, BlockId] = {}
        self.applied = LayerId(FIRST - 1)

    def on_block(self, vote: Vote) -> None:
        self.touches += 1
        self.blocks[vote.id] = vote

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None:
        self.touches += 1
        self.hare[layer] = block

    def on_malfeasance(self, node: NodeId) -> None:
        raise AssertionError("nobody contradicts itself here")

    def on_applied(self, layer: LayerId, opinion: Hash32) -> bool:
        self.applied = layer
        return True

    def tally(self, last: LayerId) -> None:
        self.last = max(self.last, last)

    def updates(self) -> Sequence[LayerResult]:
        found = []
        for layer in range(self.applied + 1, self.last + 1):
            id = self.hare.get(LayerId(layer), EMPTY_BLOCK_ID)
            vote = self.blocks.get(id, Vote(id, LayerId(layer), 0))
            is_old = layer < self.last
            block = BlockResult(vote, is_old, False, True, id in self.blocks, False)
            opinion = Hash32(hash32(layer.to_bytes(4, "big") + id))
            found.append(LayerResult(LayerId(layer), is_old, opinion, () if id == EMPTY_BLOCK_ID else (block,)))
        return found


class Node:
    """All of it over stores that outlive it."""

    def __init__(self, backends: tuple[Backend, Backend] | None = None, max_waiting: int = 100) -> None:
        self.backends = backends or (MemoryBackend(), MemoryBackend())
        stores = Stores(
            Store(Schema("state", 1, TABLES), self.backends[0]),
            OwnStore(Schema("own", 1, (SIGNED,)), self.backends[1]),
        )
        if backends is None:
            view = stores.view()
            rows = Rows(view)
            rows.put(BEACONS, EpochId(2), BEACON)
            stores.write(rows)
            view.close()
        self.keeper, self.tortoise, self.patrol = Keeper(), Tortoise(), LayerPatrol()
        pool, atxs = Mempool(), Atxs()
        vm = Vm(VmParameters(GENESIS_ID, "sm", TIME.effective_genesis))
        executor = Executor(vm, pool, lambda id, layer: atxs.atx(layer, id))
        mesh = Mesh(MeshParameters(TIME.effective_genesis), self.tortoise, executor, pool)
        blocks = BlockMachine(
            BlockParameters(0, 70, max_waiting), TIME, self.keeper, atxs, atxs, mesh, executor, self.patrol
        )
        certificates = CertificateMachine(
            CertificateParameters(40, 21, 2, 4),
            TIME,
            atxs,
            self.tortoise,
            Keys([KEY]),
            NetworkChecker(GENESIS_ID),
            lambda begin: True,
        )
        self.world = World(
            stores,
            [blocks, certificates, Hare(), self.keeper],
            derived=[self.tortoise, pool, mesh, self.patrol],
            now=at(FIRST),
        )

    def agree(self, layer: int, *proposals: Proposal) -> None:
        self.patrol.set_in_charge(LayerId(layer))
        data = layer.to_bytes(4, "big") + b"".join(one.id() for one in proposals)
        self.world.turn(self.world.gossip("agree", data), now=at(layer))

    def calls(self, hint: str) -> list[Call]:
        return [one for one in self.world.of(Call) if isinstance(one.demand, Fetch) and one.demand.hint == hint]

    def events(self) -> list[object]:
        return [one.event for one in self.world.of(Emit)]


def proposal(layer: int, mesh_hash: Hash32 = NO_MESH_HASH) -> Proposal:
    data = EpochData(Hash32(bytes(32)), BEACON, 3)
    inner = InnerBallot(LayerId(layer), ATX, Hash32(bytes(32)), EMPTY_BALLOT_ID, data)
    slot = VotingEligibility(0, VrfSignature(bytes(80)))
    ballot = Ballot(inner, EdSignature(bytes(64)), KEY.identity, Votes(EMPTY_BALLOT_ID), (slot,))
    return Proposal(InnerProposal(ballot, (), mesh_hash), EdSignature(bytes(64)))


def in_state(node: Node, layer: int) -> BlockId | None:
    row = node.world.view().get(ledger.LAYERS, LayerId(layer))
    return None if row is None else row.block


def test_a_missing_proposal_is_got_and_its_block_made_certified_and_applied() -> None:
    node = Node()
    one = proposal(FIRST)
    node.agree(FIRST, one)
    (call,) = node.calls(Hint.PROPOSAL)
    assert node.patrol.is_in_charge(FIRST) and not node.events()
    node.world.turn(node.world.fetched(call, Proposal.codec.encode(one)))
    (made,) = node.events()
    assert isinstance(made, BlockMade) and not node.patrol.is_in_charge(FIRST)
    view = node.world.view()
    block = view.get(BLOCKS, made.block)
    assert block is not None and [str(reward.weight.num) for reward in block.rewards] == ["100"]
    assert hare_output(view, FIRST) == made.block and in_state(node, FIRST) == made.block
    # the word of our own identity on it, which was proven, signed in its slot, and sent
    proof = node.world.call_for(ProveVrf)
    assert isinstance(proof.demand, ProveVrf)
    node.world.turn(node.world.returned(proof, KEY.prove(proof.demand.alpha)))
    (sent,) = node.world.of(Send)
    message = CertifyMessage.codec.decode(sent.data)
    assert (message.content.block_id, message.smesher_id) == (made.block, KEY.identity)
    assert node.world.view().get(SIGNED, Slot(KEY.identity, Kind.CERTIFY, FIRST)) == sent.data
    row = node.world.view().get(CERTIFICATES, (FIRST, made.block))
    assert row is not None and row.certificate is not None and list(row.certificate.signatures) == [message]


def test_a_proposal_that_nobody_has_makes_no_block() -> None:
    node = Node()
    node.agree(FIRST, proposal(FIRST))
    (call,) = node.calls(Hint.PROPOSAL)
    node.world.turn(node.world.returned(call, Failed("not_found")))
    assert node.events() == [BlockNotMade(FIRST, "proposal_missing")]
    assert not node.patrol.is_in_charge(FIRST) and hare_output(node.world.view(), FIRST) is None


def test_layers_whose_mesh_hash_is_ours_are_executed_first_and_the_one_before_is_valid() -> None:
    node = Node()
    first, empty = proposal(FIRST), FIRST + 2
    node.keeper.kept[first.id()] = first
    node.agree(FIRST, first)
    ours = node.world.view().get(MESH_HASHES, FIRST)
    assert ours is not None
    second = proposal(FIRST + 1, ours)
    node.keeper.kept[second.id()] = second
    node.agree(FIRST + 1, second)
    node.agree(empty)
    made = [event.block for event in node.events() if isinstance(event, BlockMade)]
    assert [in_state(node, layer) for layer in (FIRST, FIRST + 1)] == made[:2]
    assert made[2] == EMPTY_BLOCK_ID
    assert [node.world.view().get(VALIDITY, id) for id in made[:2]] == [True, True]
    assert state.last_applied(node.world.view()) == FIRST + 1  # an empty layer waits until it is verified
    foreign = proposal(FIRST + 3, Hash32(b"\x99" * 32))
    node.keeper.kept[foreign.id()] = foreign
    node.agree(FIRST + 3, foreign)
    assert node.events()[-1] == BlockNotMade(LayerId(FIRST + 3), "bad_mesh_hash")


def test_started_again_it_makes_the_block_that_was_still_to_be_made() -> None:
    node = Node()
    one = proposal(FIRST)
    node.agree(FIRST, one)
    assert not node.events()  # killed while the proposal was on its way
    again = Node(node.backends)
    (call,) = again.calls(Hint.PROPOSAL)
    again.world.turn(again.world.fetched(call, Proposal.codec.encode(one)))
    (made,) = again.events()
    assert isinstance(made, BlockMade) and in_state(again, FIRST) == made.block


def test_so_many_layers_wait_and_the_oldest_is_given_up() -> None:
    node = Node(max_waiting=2)
    for layer in range(FIRST, FIRST + 3):
        node.agree(layer, proposal(layer))
    assert node.events() == [BlockNotMade(FIRST, "too_many_waiting")]
    assert not node.patrol.is_in_charge(FIRST) and node.patrol.is_in_charge(LayerId(FIRST + 1))
