"""A small network: smeshers with ATXs, and one node that judges what they send and makes proposals of its own.

Tortoise, mesh, mempool and the columns of ATXs are the real ones; peers are the test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from node.activation import tables as activation
from node.activation.columns import AtxColumns
from node.activation.tables import StoredAtx, put_atx
from node.assembly.atxs import KnownAtxs
from node.beacon.machine import BEACONS
from node.contract.bounds import Bounds
from node.contract.demands import Fetch, Fetched, ProveVrf
from node.contract.effects import Emit
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message, Origin, PeerId
from node.contract.steps import Judged
from node.contract.verdicts import ACCEPT, Verdict
from node.eligibility.slots import slot_count
from node.engine.edges import Call, Judge
from node.engine.engine import Engine
from node.malfeasance.machine import MalfeasanceMachine
from node.mempool.pool import Mempool
from node.mesh.mesh import Mesh, MeshParameters
from node.proposals.builder import BuilderMachine
from node.proposals.machine import TOPIC, ProposalMachine
from node.proposals.parameters import BuilderParameters, ProposalParameters, StoreBounds
from node.proposals.rules import for_tortoise
from node.proposals.store import ProposalStore
from node.proposals.tables import put_active_set
from node.store.memory import MemoryBackend
from node.store.store import Backend
from node.store.view import Rows, View
from node.tortoise.parameters import TortoiseParameters
from node.tortoise.tortoise import Tortoise
from protocol.crypto import vrf
from protocol.crypto.signing import Domain
from protocol.numbers.durations import MINUTE, SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.activation import EpochActiveSet, active_set_hash
from protocol.types.ballots import Ballot, EpochData, InnerBallot, Opinion, VotingEligibility
from protocol.types.eligibility import voting_input
from protocol.types.fetch import Hint
from protocol.types.ids import (
    EMPTY_ATX_ID,
    EMPTY_BALLOT_ID,
    Address,
    AtxId,
    BallotId,
    Beacon,
    EdSignature,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    TransactionId,
    as_hash32,
)
from protocol.types.proposals import InnerProposal, Proposal
from tests.node.contract.world import GENESIS, GENESIS_ID, LAYER, World, at
from tests.support.node_stores import stores_over
from tests.vector_cases.consensus_support import Key, KeyRing

TIME = NetworkTime(GENESIS, LAYER, 4)
FIRST = LayerId(TIME.effective_genesis + 1)
EPOCH = TIME.epoch_of(FIRST)
BEACON = Beacon(b"\1\2\3\4")
GOLDEN = AtxId(b"\xaa" * 32)
LAYER_SIZE = 12
PEER = PeerId(b"peer")
UNSIGNED = EdSignature(bytes(64))
NO_HASH = Hash32(bytes(32))


@dataclass(frozen=True)
class Smesher:
    """Somebody with an ATX in the first epochs that have proposals."""

    number: int
    weight: int = 500
    key: Key = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", Key(f"{self.number:064x}", GENESIS_ID))

    @property
    def id(self) -> NodeId:
        return self.key.identity

    @property
    def nonce(self) -> int:
        return 1000 + self.number

    def atx(self, epoch: int = EPOCH) -> AtxId:
        """The id of its ATX that counts in an epoch."""
        return AtxId(bytes((self.number, epoch)) * 16)

    def stored(self, epoch: int, received: int = 1) -> StoredAtx:
        """The row of that ATX."""
        return StoredAtx(
            self.id, EpochId(epoch - 1), 0, Address(bytes(24)), 1, None, self.nonce, 0, 100, self.weight, received, 1, 1
        )


SMESHERS = tuple(Smesher(number) for number in range(1, 5))
ALICE, BOB, CAROL, DAVE = SMESHERS
TOTAL = sum(one.weight for one in SMESHERS)


def ids_of(epoch: int = EPOCH, smeshers: Sequence[Smesher] = SMESHERS) -> list[AtxId]:
    """The active set of an epoch."""
    return sorted(one.atx(epoch) for one in smeshers)


def slots_of(smesher: Smesher, total: int = TOTAL) -> int:
    """How many slots a smesher has in an epoch."""
    return slot_count(smesher.weight, total, 0, LAYER_SIZE, TIME.layers_per_epoch)


def eligibilities(smesher: Smesher, layer: int, beacon: Beacon = BEACON) -> tuple[VotingEligibility, ...]:
    """The slots of a smesher that lie in a layer."""
    epoch = TIME.epoch_of(layer)
    proofs = [smesher.key.prove(voting_input(beacon, epoch, smesher.nonce, j)) for j in range(slots_of(smesher))]
    return tuple(
        VotingEligibility(j, proof)
        for j, proof in enumerate(proofs)
        if vrf.slot_layer(proof, epoch, TIME.layers_per_epoch) == layer
    )


def layers_with_slots(smesher: Smesher, epoch: int = EPOCH) -> list[LayerId]:
    """The layers of an epoch in which a smesher has slots."""
    first = TIME.first_layer(epoch)
    return [LayerId(layer) for layer in range(first, first + TIME.layers_per_epoch) if eligibilities(smesher, layer)]


def signed_ballot(smesher: Smesher, ballot: Ballot) -> Ballot:
    """The ballot with its smesher's signature."""
    return replace(ballot, signature=smesher.key.sign(Domain.BALLOT, ballot.signed_bytes()))


def signed(smesher: Smesher, inner: InnerProposal) -> Proposal:
    """The proposal with the signatures of ballot and proposal."""
    inner = replace(inner, ballot=signed_ballot(smesher, inner.ballot))
    return Proposal(inner, smesher.key.sign(Domain.PROPOSAL, Proposal(inner, UNSIGNED).signed_bytes()))


def ballot_of(
    smesher: Smesher, layer: int, opinion: Opinion, first: BallotId | None = None, ids: Sequence[AtxId] = ()
) -> Ballot:
    """A valid ballot. first: the smesher's first ballot of the epoch, where this is another one; ids: the active set
    that a first ballot names, by default that of everybody."""
    epoch = TIME.epoch_of(layer)
    data = None
    if first is None:
        named = list(ids) or ids_of(epoch)
        total = sum(one.weight for one in SMESHERS if one.atx(epoch) in named)
        data = EpochData(active_set_hash(named), BEACON, slots_of(smesher, total))
    inner = InnerBallot(LayerId(layer), smesher.atx(epoch), opinion.hash, first or EMPTY_BALLOT_ID, data)
    return signed_ballot(smesher, Ballot(inner, UNSIGNED, smesher.id, opinion.votes, eligibilities(smesher, layer)))


def proposal_of(
    smesher: Smesher, ballot: Ballot, transactions: Sequence[TransactionId] = (), mesh_hash: Hash32 = NO_HASH
) -> Proposal:
    """A valid proposal with a ballot."""
    return signed(smesher, InnerProposal(ballot, tuple(transactions), mesh_hash))


class Dice:
    """A Random that says always the same."""

    def below(self, limit: int) -> int:
        return 7 % limit

    def shuffled(self, values: Sequence[Any]) -> list[Any]:
        return list(values)


class _Beacons(Machine):
    """Learns of beacons: four bytes of the epoch, then the beacon."""

    name, topics = "beacon", ("beacon",)

    def admit(self, message: Message, view: View, now: Instant) -> Judged:
        rows = Rows(view)
        rows.put(BEACONS, EpochId(int.from_bytes(message.data[:4], "big")), message.data[4:])
        return Judged(ACCEPT, rows)


class _Unused:
    """Ledger: nothing is applied here."""


PARAMETERS = ProposalParameters(GOLDEN, LAYER_SIZE, hdist=4, max_exceptions=10)
BUILDER = BuilderParameters(
    LAYER_SIZE,
    hdist=4,
    minimal_weights=(),
    grade_delay=SECOND,
    good_percent=50,
    window=MINUTE,
    retry_interval=10 * SECOND,
    tries=3,
    transactions=2,
    gas_limit=1_000_000,
    proofs_at_once=3,
)
Backends = tuple[Backend, Backend]


class Node:
    """One node over stores that outlive it."""

    def __init__(
        self,
        own: Sequence[Smesher] = (),
        backends: Backends | None = None,
        now: int = at(FIRST),
        known: Sequence[Smesher] = SMESHERS,
        parameters: ProposalParameters = PARAMETERS,
        builder: BuilderParameters = BUILDER,
        store: StoreBounds | None = None,
        bounds: Bounds | None = None,
        sends: bool = True,
        has_beacon: bool = True,
        has_set: bool = True,
        epochs: Sequence[int] = (EPOCH, EPOCH + 1),
        received: int = 1,
        is_empty: bool = False,
    ) -> None:
        """known: whose ATXs are here, since when (received); has_set: whether the active set of everybody is;
        is_empty: whether the store of the state among the given ones is a new one."""
        self.backends = backends or (MemoryBackend(), MemoryBackend())
        self.stores = stores_over(self.backends)
        self.columns = AtxColumns()
        genesis = TIME.effective_genesis
        self.tortoise = Tortoise(
            TortoiseParameters(TIME.layers_per_epoch, genesis, 4, 2, 100, 10, 4), KnownAtxs(self.columns, TIME)
        )
        self.pool = Mempool()
        unused: Any = _Unused()
        self.mesh = Mesh(MeshParameters(genesis), self.tortoise, unused, self.pool)
        self.kept = ProposalStore(store or StoreBounds(layers=3))
        self.keys = KeyRing(*(one.key for one in own))
        self.is_synced = True
        self.epochs = epochs
        self.received = received
        is_new = backends is None or is_empty
        if is_new:
            self.write(lambda rows: self._put(rows, has_beacon, has_set))
        self.write(self.mesh.start)
        for smesher in known:
            self.add_atx(smesher, is_stored=is_new)
        if has_beacon:
            for epoch in epochs:
                self.tortoise.on_beacon(EpochId(epoch), BEACON)
        proposals = ProposalMachine(
            parameters, TIME, self.keys, self.columns, self.tortoise, self.mesh, self.pool, self.kept,
            lambda: self.is_synced,
        )  # fmt: skip
        self.builder = BuilderMachine(
            builder, TIME, self.keys, self.columns, self.tortoise, self.pool, self.fallback, Dice(),
            lambda: self.is_synced,
        )  # fmt: skip
        keeper = MalfeasanceMachine(self.keys, self, self, lambda: True)
        machines: list[Machine] = [proposals, self.builder, keeper, _Beacons()]
        self.world = World(
            self.stores,
            machines,
            bounds=bounds,
            derived=[self.pool, self.mesh, self.kept, self.columns],
            now=now,  # type: ignore[arg-type]
            sends=sends,
        )

    def _put(self, rows: Rows, has_beacon: bool, has_set: bool) -> None:
        for epoch in self.epochs:
            if has_beacon:
                rows.put(BEACONS, EpochId(epoch), BEACON)
            if has_set:
                ids = ids_of(epoch)
                put_active_set(rows, active_set_hash(ids), EpochActiveSet(EpochId(epoch), ids))

    # ---- what other rooms are asked ----

    def fallback(self, view: View, epoch: EpochId) -> Sequence[AtxId] | None:
        return None

    def exists(self, view: View, identity: NodeId) -> bool:
        return activation.exists(view, identity)

    def commitment_of(self, view: View, identity: NodeId) -> AtxId | None:
        return EMPTY_ATX_ID

    def on_malicious(self, node: NodeId) -> None:
        self.columns.mark_malicious(node)
        self.tortoise.on_malfeasance(node)

    # ---- what the test does ----

    def write(self, put: Any) -> None:
        view = self.stores.view()
        rows = Rows(view)
        put(rows)
        self.stores.write(rows)
        view.close()

    def add_atx(self, smesher: Smesher, is_stored: bool = True) -> None:
        """An ATX for each of the epochs is here."""
        for epoch in self.epochs:
            stored = smesher.stored(epoch, self.received)
            if is_stored:
                self.write(lambda rows, stored=stored, epoch=epoch: put_atx(rows, smesher.atx(epoch), stored, None))
            self.columns.add(EpochId(epoch), stored.row(smesher.atx(epoch)))
            self.tortoise.on_atx(EpochId(epoch), smesher.id, smesher.weight)

    def opinion(self, layer: int) -> Opinion:
        """The votes of somebody who knows what this node knows."""
        return self.tortoise.encode_votes(LayerId(layer))

    def gossip(self, proposal: Proposal, peer: PeerId = PEER) -> None:
        """A peer sends a proposal."""
        self.world.turn(self.world.gossip(TOPIC, Proposal.codec.encode(proposal), peer))

    def deliver(self, hint: str, id: bytes, data: bytes) -> None:
        """A peer sends what was asked for."""
        call = next(one for one in reversed(self.calls(hint)) if isinstance(one.demand, Fetch) and one.demand.id == id)
        self.world.turn(self.world.fetched(call, data))

    def fetched(self, hint: str, data: bytes, id: bytes) -> None:
        """Something that was asked for comes, whoever has asked for it."""
        self.world.turn(Message(hint, data, Origin.FETCHED, self.world.now, PEER, id))

    def fetched_set(self, ids: Sequence[AtxId]) -> None:
        """An active set of the first epoch comes."""
        data = EpochActiveSet.codec.encode(EpochActiveSet(EPOCH, ids))
        self.fetched(Hint.ACTIVE_SET, data, active_set_hash(ids))

    def agree_on_beacon(self, epoch: int, beacon: Beacon = BEACON) -> None:
        """The beacon of an epoch is known."""
        self.tortoise.on_beacon(EpochId(epoch), beacon)
        self.world.turn(self.world.gossip("beacon", epoch.to_bytes(4, "big") + beacon))

    def recover(self, ballot: Ballot) -> None:
        """Tortoise is told of a stored ballot, as at start."""
        self.tortoise.on_recovered_ballot(for_tortoise(ballot, is_malicious=False))

    def request(self, ballot: Ballot) -> None:
        """Sync has asked for a ballot, which comes."""
        self.fetched(Hint.BALLOT, Ballot.codec.encode(ballot), as_hash32(ballot.id()))

    def accept(self, call: Call) -> None:
        """What was asked for is here: the machine that it belongs to has taken it."""
        self.world.turn(self.world.returned(call, Fetched(ACCEPT)))

    @property
    def engine(self) -> Engine:
        """What calls the machines."""
        return self.world.engine

    def sync(self, ballot: Ballot) -> Verdict:
        """The verdict on a ballot that sync has asked for, and that needs nothing else."""
        before = len(self.verdicts())
        self.request(ballot)
        (verdict,) = self.verdicts()[before:]
        return verdict

    def calls(self, hint: str) -> list[Call]:
        """What was asked of peers, of one kind."""
        return [one for one in self.world.of(Call) if isinstance(one.demand, Fetch) and one.demand.hint == hint]

    def prove(self) -> None:
        """All proofs that were asked for are made, and those that are asked for then."""
        done = getattr(self, "_proven", 0)
        while True:
            calls = [one for one in self.world.of(Call) if isinstance(one.demand, ProveVrf)][done:]
            if not calls:
                break
            done += len(calls)
            self._proven = done
            keys = {one.id: one.key for one in SMESHERS}
            for call in calls:
                assert isinstance(call.demand, ProveVrf)
                self.world.turn(self.world.returned(call, keys[call.demand.identity].prove(call.demand.alpha)))

    def events(self, kind: type[Any]) -> list[Any]:
        """What interfaces are told, of one kind."""
        return [one.event for one in self.world.of(Emit) if isinstance(one.event, kind)]

    def verdicts(self) -> list[Verdict]:
        """On messages of peers, in their order."""
        return [one.verdict for one in self.world.of(Judge)]

    @property
    def last(self) -> tuple[str, str]:
        """The verdict on the last message."""
        verdict = self.verdicts()[-1]
        return verdict.judgement.value, verdict.reason


def first_opinion() -> Opinion:
    """The votes of ballots of the first layer: there is nothing to vote on."""
    return Node().opinion(FIRST)
