"""The machine that makes the own proposals.

| when | then |
|---|---|
| `window` before an epoch | its active set is made; proofs of the slots are asked for where the beacon is known |
| a layer begins, this node is synced | whoever has slots in it makes a proposal, signed once, published at once |
| a beacon or the last proofs of an identity come later | the same, as long as the layer lasts |
| the node starts | what it had signed and perhaps not sent is sent, while its layer lasts; nothing new for that layer |

Active sets are made in advance for every epoch, so that the proposals of its first layer are not late. Protocol 04b,
sections 4.2 and 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.activation.columns import AtxColumns, AtxRow
from node.beacon.machine import BEACONS
from node.contract.demands import ProveVrf
from node.contract.effects import Ask, Effect, Emit, Publish, SetTimer
from node.contract.inputs import Answer, Change, NotSent, Tick, Timer
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.owed import owed
from node.contract.ports import Keys, Random, Signer
from node.contract.steps import NOTHING, Step
from node.mempool.selection import for_proposal
from node.mempool.transaction import PoolTransaction
from node.proposals.errors import NoActiveSet
from node.proposals.machine import TOPIC
from node.proposals.making import Content, make_proposal, mesh_hash
from node.proposals.oracle import Fallback, last_ballot_layer, layers_of
from node.proposals.own_sets import make_active_set
from node.proposals.parameters import BuilderParameters
from node.proposals.sessions import Session, Terms, own_atx, terms
from node.proposals.tables import OWN_ACTIVE_SETS, OwnActiveSet, put_active_set
from node.store.own import SIGNED, Kind, Slot, sign_once
from node.store.view import Rows, View
from node.tortoise.errors import CannotVote
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import Ballot, Opinion
from protocol.types.ids import Address, AtxId, Beacon, EpochId, LayerId, NodeId, ProposalId, VrfSignature
from protocol.types.proposals import Proposal


class Voter(Protocol):
    """Tortoise, as far as own votes need it."""

    @property
    def verified(self) -> LayerId:
        """The newest layer up to which all are verified."""

    def tally(self, last: LayerId) -> None:
        """Count everything up to a layer."""

    def encode_votes(self, current: LayerId | None = None) -> Opinion:
        """The votes of a ballot in a layer. Raises CannotVote."""


class Waiting(Protocol):
    """The mempool."""

    def waiting(self) -> Mapping[Address, Sequence[PoolTransaction]]:
        """What can go into a proposal, by principal, in the order of nonces."""


@dataclass(frozen=True, slots=True)
class ActiveSetMade:
    """An event: what the own first ballots of an epoch name."""

    epoch: EpochId
    weight: int
    size: int


@dataclass(frozen=True, slots=True)
class SlotsKnown:
    """An event: in which layers of an epoch an own identity makes proposals."""

    identity: NodeId
    epoch: EpochId
    beacon: Beacon
    slots: Mapping[LayerId, int]
    atx: AtxId
    """By which it is eligible."""


@dataclass(frozen=True, slots=True)
class ProposalMade:
    """An event: a proposal was signed and is published."""

    identity: NodeId
    layer: LayerId
    id: ProposalId


@dataclass(frozen=True, slots=True)
class ProposalNotMade:
    """An event: an own identity (None: all of them) makes no proposal in a layer in which it might have.

    reason: beacon_missing, that of a NoActiveSet or CannotVote, bad_first_ballot, too_many_slots, no_proof, not_sent.
    """

    identity: NodeId | None
    layer: LayerId
    reason: str


@dataclass(frozen=True, slots=True)
class _SlotTag:
    """Names the proof of a slot that was asked for."""

    identity: NodeId
    epoch: EpochId
    slot: int


@dataclass(frozen=True, slots=True)
class _SentTag:
    """Names a proposal that is published."""

    identity: NodeId
    layer: LayerId


@dataclass(frozen=True, slots=True)
class _Prepare:
    """The timer by which the active set of an epoch is made in advance."""

    epoch: EpochId
    tries: int
    """That are left."""


class BuilderMachine(Machine):
    """The own proposals of one node."""

    name = "builder"
    ticks = True
    watches = (BEACONS,)

    def __init__(
        self,
        parameters: BuilderParameters,
        time: NetworkTime,
        keys: Keys,
        atxs: AtxColumns,
        tortoise: Voter,
        pool: Waiting,
        fallback: Fallback,
        random: Random,
        is_synced: Callable[[], bool],
    ) -> None:
        """fallback: the published active set of an epoch; is_synced: whether everything before the present is here."""
        self._parameters = parameters
        self._time = time
        self._keys = keys
        self._atxs = atxs
        self._tortoise = tortoise
        self._pool = pool
        self._fallback = fallback
        self._random = random
        self._is_synced = is_synced
        self._sessions: dict[tuple[EpochId, NodeId], Session] = {}
        self._open: LayerId | None = None
        """The layer for which proposals may still be made: it began when the node was synced."""
        self._prepared: EpochId | None = None
        """The newest epoch for which a timer was set."""

    # ---- inputs ----

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says."""
        layer = self._time.layer_at(now)
        epoch = self._time.epoch_of(layer)
        rows = Rows(view)
        effects: list[Effect] = [*owed(view, self.name, now), *self._prepare(EpochId(epoch + 1), now)]
        if view.has(OWN_ACTIVE_SETS, epoch) and view.has(BEACONS, epoch):
            effects += self._open_epoch(rows, epoch, layer)  # the proofs are here when the next layer begins
        return Step(rows, effects)

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        """As Machine says: a layer began. One that is over when this is learned is left out."""
        epoch = self._time.epoch_of(tick.layer)
        effects: list[Effect] = [*self._prepare(EpochId(epoch + 1), now)]
        signers = {signer.identity for signer in self._keys.signers()}
        for key in [key for key in self._sessions if key[0] < epoch or key[1] not in signers]:
            del self._sessions[key]
        is_present = self._time.layer_at(now) == tick.layer
        if tick.layer <= self._time.effective_genesis or not is_present or not self._is_synced() or not signers:
            self._open = None
            return Step(effects=effects)
        self._open = tick.layer
        rows = Rows(view)
        effects += self._open_epoch(rows, epoch, tick.layer)
        effects += self._build(rows, tick.layer, self._of(epoch))
        return Step(rows, effects)

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        """As Machine says: the active set of the next epoch is to be made."""
        key = timer.key
        assert isinstance(key, _Prepare)
        current = self._time.layer_at(now)
        if self._time.epoch_of(current) >= key.epoch:
            return NOTHING
        rows = Rows(view)
        effects: list[Effect] = []
        if not view.has(OWN_ACTIVE_SETS, key.epoch):
            try:
                if not self._is_synced():
                    raise NoActiveSet("The node is not synced.", "not_available_yet")
                effects += self._make_set(rows, key.epoch, current)
            except NoActiveSet:
                if key.tries <= 1:
                    return NOTHING  # it is made in the first layer of the epoch
                again = _Prepare(key.epoch, key.tries - 1)
                return Step(effects=[SetTimer(again, after(now, self._parameters.retry_interval))])
        if view.has(BEACONS, key.epoch):
            effects += self._open_epoch(rows, key.epoch, current)
        return Step(rows, effects)

    def changed(self, change: Change, view: View, now: Instant) -> Step:
        """As Machine says: a beacon is known."""
        rows = Rows(view)
        effects: list[Effect] = []
        for epoch in change.keys:
            is_open = self._open is not None and self._time.epoch_of(self._open) == epoch
            if is_open or view.has(OWN_ACTIVE_SETS, epoch):
                effects += self._open_epoch(rows, epoch, self._time.layer_at(now))
        return Step(rows, effects)

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        """As Machine says: a proof is here, or a proposal was sent or not."""
        tag = answer.tag
        if isinstance(tag, _SentTag):
            if isinstance(answer.result, NotSent):
                return Step(effects=[Emit(ProposalNotMade(tag.identity, tag.layer, "not_sent"))])
            return NOTHING
        assert isinstance(tag, _SlotTag) and isinstance(answer.asked, ProveVrf)
        session = self._sessions.get((tag.epoch, tag.identity))
        if session is None or session.alpha(tag.slot) != answer.asked.alpha:
            return NOTHING  # of a session that was given up
        if not isinstance(answer.result, bytes):
            del self._sessions[tag.epoch, tag.identity]  # opened anew in the next layer
            return Step(effects=[Emit(ProposalNotMade(tag.identity, self._time.layer_at(now), "no_proof"))])
        session.add(tag.slot, VrfSignature(answer.result), self._time.layers_per_epoch)
        if not session.is_complete:
            return Step(effects=self._ask(session))
        slots = {layer: len(found) for layer, found in sorted(session.by_layer.items())}
        terms = session.terms
        effects: list[Effect] = [Emit(SlotsKnown(tag.identity, tag.epoch, terms.beacon, slots, terms.atx.id))]
        layer = self._open
        if layer is None or self._time.layer_at(now) != layer or self._time.epoch_of(layer) != tag.epoch:
            return Step(effects=effects)
        rows = Rows(view)
        effects += self._build(rows, layer, [session])
        return Step(rows, effects)

    # ---- an epoch ----

    def _prepare(self, epoch: EpochId, now: Instant) -> list[Effect]:
        """The timer by which the active set of an epoch is made in advance, once."""
        parameters = self._parameters
        if parameters.tries == 0 or parameters.retry_interval == 0 or self._prepared == epoch:
            return []
        self._prepared = epoch
        if layers_of(self._time, epoch)[1] <= self._time.effective_genesis:
            return []
        due = self._time.start_ns(self._time.first_layer(epoch)) - parameters.window
        return [SetTimer(_Prepare(epoch, parameters.tries), Instant(max(now, due)))]

    def _make_set(self, rows: Rows, epoch: EpochId, current: LayerId) -> list[Effect]:
        """Raises NoActiveSet."""
        delay, percent = self._parameters.grade_delay, self._parameters.good_percent
        made = make_active_set(rows, self._time, self._atxs, self._fallback, epoch, current, delay, percent)
        rows.put(OWN_ACTIVE_SETS, epoch, made.own)
        put_active_set(rows, made.own.hash, made.active)
        return [Emit(ActiveSetMade(epoch, made.own.weight, len(made.active.set)))]

    def _open_epoch(self, rows: Rows, epoch: EpochId, layer: LayerId) -> list[Effect]:
        """Sessions for the identities that have none; layer: the one that runs."""
        signers = [signer for signer in self._keys.signers() if (epoch, signer.identity) not in self._sessions]
        if not signers:
            return []
        beacon = rows.get(BEACONS, epoch)
        if beacon is None:
            return [Emit(ProposalNotMade(None, layer, "beacon_missing"))]
        effects: list[Effect] = []
        if not rows.has(OWN_ACTIVE_SETS, epoch):
            try:
                effects += self._make_set(rows, epoch, layer)
            except NoActiveSet as error:
                return [Emit(ProposalNotMade(None, layer, error.reason))]
        own = rows.get(OWN_ACTIVE_SETS, epoch)
        assert own is not None, "it was made just now"
        for signer in signers:
            effects += self._open_session(rows, signer.identity, epoch, layer, Beacon(beacon), own)
        return effects

    def _open_session(
        self, view: View, identity: NodeId, epoch: EpochId, layer: LayerId, beacon: Beacon, own: OwnActiveSet
    ) -> list[Effect]:
        atx = own_atx(view, self._atxs, identity, epoch)
        if atx is None:
            return []
        found = self._terms(view, atx, epoch, beacon, own)
        if found is None:
            return [Emit(ProposalNotMade(identity, layer, "bad_first_ballot"))]
        if found.slots > self._parameters.max_slots:
            return [Emit(ProposalNotMade(identity, layer, "too_many_slots"))]
        session = self._sessions[epoch, identity] = Session(identity, epoch, found)
        return self._ask(session)

    def _of(self, epoch: EpochId) -> list[Session]:
        return [session for session in self._sessions.values() if session.epoch == epoch]

    def _ask(self, session: Session) -> list[Effect]:
        return [
            Ask(ProveVrf(session.identity, session.alpha(slot)), _SlotTag(session.identity, session.epoch, slot))
            for slot in session.next_slots(self._parameters.proofs_at_once)
        ]

    def _terms(self, view: View, atx: AtxRow, epoch: EpochId, beacon: Beacon, own: OwnActiveSet) -> Terms | None:
        """By what an identity makes its ballots now; None where it has no usable first ballot."""
        parameters = self._parameters
        return terms(view, self._time, atx, epoch, beacon, own, parameters.layer_size, parameters.minimal_weights)

    # ---- a layer ----

    def _build(self, rows: Rows, layer: LayerId, sessions: Iterable[Session]) -> list[Effect]:
        """The proposals of those identities that have slots in a layer and have made none there."""
        epoch = self._time.epoch_of(layer)
        beacon, own = rows.get(BEACONS, epoch), rows.get(OWN_ACTIVE_SETS, epoch)
        if beacon is None or own is None:
            return []
        effects: list[Effect] = []
        ready: list[tuple[Session, Signer, Terms]] = []
        signers = {signer.identity: signer for signer in self._keys.signers()}
        for session in sessions:
            signer = signers.get(session.identity)
            if signer is None or not self._is_due(rows, session, layer):
                continue
            atx = own_atx(rows, self._atxs, session.identity, epoch)
            found = None if atx is None else self._terms(rows, atx, epoch, Beacon(beacon), own)
            if found is not None and (found.beacon, found.slots) == (session.terms.beacon, session.terms.slots):
                ready.append((session, signer, found))
            else:  # sync has brought its first ballot, or another beacon was published
                del self._sessions[epoch, session.identity]
                effects += self._open_session(rows, session.identity, epoch, layer, Beacon(beacon), own)
        if ready:
            effects += self._make(rows, layer, own, ready)
        return effects

    def _is_due(self, view: View, session: Session, layer: LayerId) -> bool:
        if not session.is_complete or layer not in session.by_layer:
            return False
        identity = session.identity
        if any(view.has(SIGNED, Slot(identity, kind, layer)) for kind in (Kind.BALLOT, Kind.PROPOSAL)):
            return False
        last = last_ballot_layer(view, self._time, session.epoch, session.terms.atx.id)
        return last is None or last < layer

    def _make(
        self, rows: Rows, layer: LayerId, own: OwnActiveSet, ready: Iterable[tuple[Session, Signer, Terms]]
    ) -> list[Effect]:
        parameters = self._parameters
        self._tortoise.tally(layer)
        try:
            opinion = self._tortoise.encode_votes(layer)
        except CannotVote as error:
            return [Emit(ProposalNotMade(None, layer, error.reason))]
        genesis = self._time.effective_genesis
        hash = mesh_hash(rows, layer, self._tortoise.verified, genesis, parameters.hdist)
        content = Content(layer, opinion, hash, own.hash)
        waiting = self._pool.waiting()
        effects: list[Effect] = []
        for session, signer, by in ready:
            eligibilities = session.eligibilities(layer)
            seed = self._random.below(1 << 256).to_bytes(32, "big")
            chosen = for_proposal(waiting, parameters.gas_limit, len(eligibilities) * parameters.transactions, seed)
            proposal = make_proposal(content, by, signer, eligibilities, [one.id for one in chosen])
            effects += self._publish(rows, signer.identity, layer, proposal)
        return effects

    def _publish(self, rows: Rows, identity: NodeId, layer: LayerId, proposal: Proposal) -> list[Effect]:
        sign_once(rows, Slot(identity, Kind.BALLOT, layer), Ballot.codec.encode(proposal.inner.ballot))
        end = Instant(self._time.start_ns(layer + 1))
        slot = Slot(identity, Kind.PROPOSAL, layer)
        data = Proposal.codec.encode(proposal)
        return [
            Publish(TOPIC, data, slot, end, _SentTag(identity, layer)),
            Emit(ProposalMade(identity, layer, proposal.id())),
        ]
