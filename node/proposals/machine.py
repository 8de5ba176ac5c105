"""The machine of proposals: those of gossip, those that were asked for, ballots and active sets that sync brings.

| a message | taken | else |
|---|---|---|
| proposal | ballot stored and counted, proposal kept for hare, transactions linked | by the reason: ignored, rejected |
| ballot | stored and counted | the same |
| active set | stored | the same |
| second ballot of a smesher in a layer | stored, and reported as malfeasance; its proposal goes no further | |

The ballot of a proposal whose transactions are not to be had, or that lists one twice, is stored all the same. A ballot
of an own identity that this node has not signed is noted in the own store where sync brings it; where it comes by
gossip, somebody else has the key, and the identity is stopped. Protocol 04b, section 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from node.activation.columns import AtxColumns
from node.contract.checks import SignatureCheck
from node.contract.demands import Fetch
from node.contract.effects import Effect, Emit, ReportMalfeasance, StopIdentity
from node.contract.inputs import Tick
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message, Origin
from node.contract.ports import Keys, signer_of
from node.contract.steps import Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import ACCEPT, Verdict, ignore, reject
from node.mempool.tables import TRANSACTIONS
from node.mesh.tables import BALLOTS
from node.proposals.active_sets import SetStage
from node.proposals.errors import BallotIgnored, BallotRejected, verdict_of
from node.proposals.judge import BallotJudge, Stage, ValidBallot, Votes, Wait
from node.proposals.parameters import ProposalParameters
from node.proposals.reported import ReportedBeacons
from node.proposals.store import KnownProposal, ProposalStore
from node.proposals.tables import forget_active_sets
from node.store.own import SIGNED, Kind, Slot
from node.store.view import Rows, View
from node.tortoise.ballots import Decoded
from protocol.codec.declare import CodecError
from protocol.crypto.signing import Domain
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import Ballot
from protocol.types.fetch import Hint
from protocol.types.ids import (
    EMPTY_ATX_ID,
    BallotId,
    Beacon,
    EpochId,
    LayerId,
    NodeId,
    ProposalId,
    TransactionId,
    as_hash32,
)
from protocol.types.malfeasance import MalfeasanceProof
from protocol.types.proposals import Proposal

TOPIC = "pp1"


class Tortoise(Votes, Protocol):
    """What tortoise is asked and told."""

    def store(self, decoded: Decoded) -> None:
        """Keep and count a decoded ballot."""


class Mesh(Protocol):
    """What the mesh is asked and told."""

    @property
    def processed(self) -> LayerId:
        """The last layer before which all are processed."""

    def add_ballot(self, rows: Rows, ballot: Ballot, *, is_malicious: bool) -> MalfeasanceProof | None:
        """A valid ballot; the proof if its smesher contradicts itself by it."""


class Pool(Protocol):
    """The mempool."""

    def link_proposal(self, rows: Rows, layer: LayerId, proposal: ProposalId, ids: tuple[TransactionId, ...]) -> None:
        """A proposal holds these transactions."""


@dataclass(frozen=True, slots=True)
class ProposalTaken:
    """An event: a proposal is kept for hare."""

    layer: LayerId
    id: ProposalId
    ballot: BallotId
    smesher: NodeId
    received: Instant
    """Hare votes for none that comes after its first round has begun."""
    is_own: bool


class ProposalMachine(Machine):
    """The proposals and ballots of one network."""

    name = "proposals"
    topics = (TOPIC,)
    hints = (Hint.PROPOSAL, Hint.BALLOT, Hint.ACTIVE_SET)
    signs = True
    ticks = True

    def __init__(
        self,
        parameters: ProposalParameters,
        time: NetworkTime,
        keys: Keys,
        atxs: AtxColumns,
        tortoise: Tortoise,
        mesh: Mesh,
        pool: Pool,
        store: ProposalStore,
        is_listening: Callable[[], bool],
    ) -> None:
        """is_listening: whether the node is near enough to the present to judge gossip."""
        self._parameters = parameters
        self._time = time
        self._keys = keys
        self._atxs = atxs
        self._tortoise = tortoise
        self._mesh = mesh
        self._pool = pool
        self._store = store
        self._is_listening = is_listening
        self._ballots = BallotJudge(parameters, time, atxs, tortoise)
        self._reported = ReportedBeacons(parameters.sync_weight_units, parameters.reported_epochs)

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says. Proposals that were kept are gone; ATXs are read before."""
        self._store.on_layer(self._time.layer_at(now))
        rows = Rows(view)
        self._reported.start(rows, self._time, self._atxs)
        return Step(rows)

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        """As Machine says: old proposals and active sets are let go."""
        self._store.on_layer(tick.layer)
        rows = Rows(view)
        forget_active_sets(rows, EpochId(max(0, self._time.epoch_of(tick.layer) - 1)))
        return Step(rows)

    # ---- first steps ----

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        if message.channel == Hint.ACTIVE_SET:
            return self._ballots.active_sets.admit(message, view)
        try:
            if message.channel == Hint.BALLOT:
                return self._admit_ballot(Ballot.codec.decode(message.data))
            return self._admit_proposal(Proposal.codec.decode(message.data), message, now)
        except CodecError as error:
            return Judged(reject("malformed", str(error)))

    def _admit_ballot(self, ballot: Ballot) -> Judged | Needs:
        if ballot.inner.layer <= self._time.effective_genesis:
            return Judged(reject("before_genesis", f"The ballot is of layer {ballot.inner.layer}."))
        return Needs((_ballot_check(ballot),), memo=Stage(ballot, ballot.id(), None, Wait.SIGNATURES))

    def _admit_proposal(self, proposal: Proposal, message: Message, now: Instant) -> Judged | Needs:
        if message.origin is Origin.GOSSIP and not self._is_listening():
            return Judged(ignore("not_synced"))
        ballot = proposal.inner.ballot
        layer, id = ballot.inner.layer, proposal.id()
        if layer <= self._time.effective_genesis:
            return Judged(ignore("before_genesis", f"The proposal is of layer {layer}."))
        if layer <= self._mesh.processed:
            return Judged(ignore("too_late", f"The proposal is of layer {layer}, which is processed."))
        if layer > self._time.layer_at(now):
            return Judged(ignore("from_future", f"The proposal is of layer {layer}, which has not begun."))
        refusal = self._refusal(layer, id, ballot.smesher_id, message)
        if refusal is not None:
            return Judged(ignore(refusal))
        signed = SignatureCheck(Domain.PROPOSAL, ballot.smesher_id, proposal.signed_bytes(), proposal.signature)
        stage = Stage(ballot, ballot.id(), proposal, Wait.SIGNATURES)
        return Needs((signed, _ballot_check(ballot)), memo=stage)

    def _refusal(self, layer: LayerId, id: ProposalId, smesher: NodeId, message: Message) -> str | None:
        """Why a proposal cannot be kept, if it is not known."""
        if self._store.get(layer, id) is not None:
            return None
        is_wanted = message.origin is not Origin.GOSSIP
        return self._store.refusal(layer, smesher, len(message.data), is_wanted=is_wanted)

    # ---- further steps ----

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        memo, message = ticket.memo, ticket.message
        if isinstance(memo, SetStage):
            return self._ballots.active_sets.proceed(memo, found, view)
        assert isinstance(memo, Stage)
        if memo.wait is Wait.SIGNATURES:
            verdict = self._signed(memo, found, message)
            return self._go_on(memo, message, view, now) if verdict is None else Judged(verdict)
        try:
            stage = memo.found(found)
        except BallotIgnored as error:
            return Judged(verdict_of(error))
        return self._go_on(stage, message, view, now)

    def _signed(self, stage: Stage, found: Found, message: Message) -> Verdict | None:
        """The verdict on a message of which no more need be known than its signatures."""
        proposal = stage.proposal
        is_ballot_signed = found.signatures[-1]
        if proposal is None:
            id = as_hash32(stage.ballot_id)
            if not is_ballot_signed:
                return reject("bad_ballot_signature")
        else:
            id = as_hash32(proposal.id())
            if not found.signatures[0]:
                return ignore("bad_proposal_signature")
            if not is_ballot_signed:
                return ignore("bad_ballot_signature")
        if message.expected not in (None, id):
            return reject("wrong_hash", f"{id.hex()} was sent, asked for was another.")
        if stage.ballot.inner.atx_id in (EMPTY_ATX_ID, self._parameters.golden_atx):
            return reject("invalid_atx_id", "The ballot has no activation of its smesher.")
        return None

    def _go_on(self, stage: Stage, message: Message, view: View, now: Instant) -> Judged | Needs:
        proposal, layer = stage.proposal, stage.ballot.inner.layer
        if proposal is not None and self._store.get(layer, proposal.id()) is not None:
            is_asked = message.origin is Origin.FETCHED
            return Judged(ACCEPT if is_asked else ignore("known_proposal"))
        is_known = self._tortoise.ballot(stage.ballot_id) is not None
        valid = None
        if not is_known or self._is_other(stage, view):
            try:
                current = self._time.epoch_of(self._time.layer_at(now))
                judged = self._ballots.judge(stage, message, current, view)
            except (BallotIgnored, BallotRejected) as error:
                return Judged(verdict_of(error))
            if isinstance(judged, Needs):
                return judged
            valid = None if is_known else judged
        if proposal is None:
            rows = Rows(view)
            return Judged(ACCEPT, rows, self._store_ballot(rows, stage, valid, message))
        return self._judge_transactions(stage, proposal, valid, message, view)

    def _is_other(self, stage: Stage, view: View) -> bool:
        """Whether a proposal has a known ballot with other votes or slots, which the id of a ballot does not cover.

        Rewards are counted by the slots of a proposal: they are looked at, whatever is known of its ballot. Whoever
        hands on a ballot can leave slots out, so that it is no fault of the proposal to have more.
        """
        known = None if stage.proposal is None else view.get(BALLOTS, stage.ballot_id)
        if known is None:
            return False
        mine = stage.ballot
        return (known.votes, tuple(known.eligibility_proofs)) != (mine.votes, tuple(mine.eligibility_proofs))

    def _judge_transactions(
        self, stage: Stage, proposal: Proposal, valid: ValidBallot | None, message: Message, view: View
    ) -> Judged | Needs:
        ids = proposal.inner.tx_ids
        if len(set(ids)) != len(ids):
            return self._take(stage, proposal, valid, message, view, reject("duplicate_tx"))
        missing = [id for id in ids if not view.has(TRANSACTIONS, id)]
        if not missing:
            return self._take(stage, proposal, valid, message, view, None)
        if Wait.TRANSACTIONS in stage.asked:
            return self._take(stage, proposal, valid, message, view, ignore("txs_unavailable"))
        if len(missing) > self._parameters.missing_transactions:
            return self._take(stage, proposal, valid, message, view, ignore("too_many_missing_transactions"))
        peers = () if message.peer is None else (message.peer,)
        return Needs(demands=[Fetch(Hint.TX, id, peers) for id in missing], memo=stage.waiting(Wait.TRANSACTIONS))

    # ---- what is taken ----

    def _take(
        self,
        stage: Stage,
        proposal: Proposal,
        valid: ValidBallot | None,
        message: Message,
        view: View,
        verdict: Verdict | None,
    ) -> Judged:
        """Store the ballot, and the proposal unless there is a verdict already."""
        rows = Rows(view)
        effects = self._store_ballot(rows, stage, valid, message)
        is_contradiction = any(isinstance(effect, ReportMalfeasance) for effect in effects)
        layer, smesher, id = stage.ballot.inner.layer, stage.ballot.smesher_id, proposal.id()
        if verdict is None:
            beacon = _beacon(rows, stage.ballot)
            refusal = self._refusal(layer, id, smesher, message)
            if isinstance(beacon, Verdict):
                verdict = beacon
            elif refusal is not None:
                verdict = ignore(refusal)
            else:
                self._pool.link_proposal(rows, layer, id, tuple(proposal.inner.tx_ids))
                is_malicious = is_contradiction or self._atxs.is_malicious(smesher)
                known = KnownProposal(id, stage.ballot_id, proposal, beacon, is_malicious, len(message.data))
                self._store.add(known)
                is_own = message.origin is Origin.OWN
                taken = ProposalTaken(layer, id, stage.ballot_id, smesher, message.received, is_own)
                effects.append(Emit(taken))
                verdict = ignore("malicious_ballot") if is_contradiction else ACCEPT
        return Judged(verdict, rows, effects)

    def _store_ballot(self, rows: Rows, stage: Stage, valid: ValidBallot | None, message: Message) -> list[Effect]:
        """Store and count a ballot. valid: None where it is known."""
        effects = self._own(rows, stage, message)
        if valid is None:
            return effects
        ballot, smesher = stage.ballot, stage.ballot.smesher_id
        if ballot.active_set:
            ballot = replace(ballot, active_set=())  # a relic, which the id does not cover
        is_malicious = self._atxs.is_malicious(smesher)
        proof = self._mesh.add_ballot(rows, ballot, is_malicious=is_malicious)
        self._tortoise.store(valid.decoded)
        epoch, by = self._time.epoch_of(ballot.inner.layer), valid.standing
        self._reported.report(rows, epoch, stage.ballot_id, ballot, by.beacon, valid.atx.weight, by.slots)
        if proof is not None:
            effects.append(ReportMalfeasance(smesher, MalfeasanceProof.codec.encode(proof)))
        return effects

    def _own(self, rows: Rows, stage: Stage, message: Message) -> list[Effect]:
        """What follows if a ballot or proposal is of an own identity, but not of this node."""
        ballot, proposal = stage.ballot, stage.proposal
        if message.origin is Origin.OWN or signer_of(self._keys, ballot.smesher_id) is None:
            return []
        slot = Slot(ballot.smesher_id, Kind.BALLOT, ballot.inner.layer)
        signed = rows.get(SIGNED, slot)
        if signed is None and message.origin is Origin.FETCHED:
            rows.put(SIGNED, slot, Ballot.codec.encode(ballot))
            return []
        whole = rows.get(SIGNED, slot._replace(kind=Kind.PROPOSAL))
        is_ours = signed is not None and Ballot.codec.decode(signed).id() == stage.ballot_id
        if is_ours and (proposal is None or whole is None or Proposal.codec.decode(whole).id() == proposal.id()):
            return []
        why = (
            f"Another node has signed ballot {stage.ballot_id.hex()} of layer {ballot.inner.layer} with its key. Two "
            "nodes with one key contradict each other, which the network punishes: run the key on one node only."
        )
        return [StopIdentity(ballot.smesher_id, why)]


def _ballot_check(ballot: Ballot) -> SignatureCheck:
    return SignatureCheck(Domain.BALLOT, ballot.smesher_id, ballot.signed_bytes(), ballot.signature)


def _beacon(view: View, ballot: Ballot) -> Beacon | Verdict:
    """The beacon by which a smesher's ballots of an epoch go."""
    data = ballot.inner.epoch_data
    if data is not None:
        return data.beacon
    first = view.get(BALLOTS, ballot.inner.ref_ballot)
    if first is None:
        return ignore("ref_ballot_not_found")
    if first.inner.epoch_data is None:
        return ignore("ref_ballot_without_epoch_data")
    return first.inner.epoch_data.beacon
