"""The sessions of this node: what happens at a layer's begin, when a round is due, and when a proof is here.

Protocol 05-consensus, sections 5.6 and 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from node.beacon.machine import BEACONS
from node.blocks.patrol import LayerPatrol
from node.blocks.tables import AGREED
from node.contract.demands import ProveVrf
from node.contract.effects import Ask, Effect, Emit, Publish, SetTimer
from node.contract.inputs import Answer, Tick, Timer
from node.contract.instants import Instant
from node.contract.ports import Keys, Signer
from node.contract.steps import NOTHING, Step
from node.eligibility.active_set import ActiveSet, Oracle
from node.eligibility.errors import EligibilityError
from node.hare import exchange
from node.hare.events import HareAgreed, HareBegan, HareEnded, HareSkipped, HareUnsaid
from node.hare.gossip import Proposals
from node.hare.parameters import FIRST, MESSAGE_ROUNDS
from node.hare.proposals import Selection
from node.hare.protocol import HareProtocol, RoundOutput, Said
from node.hare.seats import Committee
from node.hare.session import Memory, Session
from node.hare.tables import WEAK_COINS
from node.hare.versions import metadata_of, shortened
from node.store.own import Kind, Slot
from node.store.view import Rows, Span, View
from protocol.crypto.signing import Domain
from protocol.types.hare import MAX_PROPOSALS, Hare4Body, HareEligibility, HareRound, IterRound
from protocol.types.ids import NO_BEACON, Beacon, CompactProposalId, LayerId, NodeId, VrfSignature


class WeakCoins(Protocol):
    """What tortoise is told."""

    def on_weak_coin(self, layer: LayerId, is_heads: bool) -> None:
        """The weak coin of a layer."""


@dataclass(frozen=True, slots=True)
class _ProofTag:
    """Names a proof of an own identity that was asked for."""

    layer: LayerId
    at: IterRound
    identity: NodeId


class Sessions:
    """What this node does by itself."""

    def __init__(
        self,
        memory: Memory,
        oracle: Oracle,
        selection: Selection,
        keys: Keys,
        patrol: LayerPatrol,
        tortoise: WeakCoins,
        is_synced: Callable[[], bool],
    ) -> None:
        self._memory = memory
        self._oracle = oracle
        self._selection = selection
        self._keys = keys
        self._patrol = patrol
        self._tortoise = tortoise
        self._is_synced = is_synced

    # ---- inputs ----

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        """A layer began."""
        layer = tick.layer
        self._memory.lists.forget_before(LayerId(layer - self._memory.bounds.list_layers + 1))
        version = next((one for one in self._memory.versions if one.parameters.runs_in(layer)), None)
        if version is None or layer <= self._memory.time.effective_genesis or layer < self._memory.first:
            return NOTHING
        beacon = view.get(BEACONS, self._memory.time.epoch_of(layer))
        last = IterRound(version.parameters.iterations_limit, HareRound.HARDLOCK)
        if not self._is_synced():
            return Step(effects=[Emit(HareSkipped(layer, "not_synced"))])
        if beacon is None or beacon == NO_BEACON:
            return Step(effects=[Emit(HareSkipped(layer, "beacon_missing"))])
        if now >= tick.due + version.parameters.round_start(last):
            return Step(effects=[Emit(HareSkipped(layer, "over"))])
        session = Session(
            version,
            layer,
            tick.due,
            Committee(version.parameters, layer, Beacon(beacon), self._active_set(view, layer)),
            tuple(self._keys.signers()),
            HareProtocol(version.parameters.threshold(layer)),
        )
        self._patrol.set_in_charge(layer)
        self._memory.sessions[layer], self._memory.first = session, LayerId(layer + 1)
        begun = Emit(HareBegan(layer, len(session.signers)))
        asks = self._ask_proofs(session)
        if not asks:
            step = self._execute(session, view)
            return Step(step.rows, [begun, *step.effects])
        return Step(effects=[begun, *asks, SetTimer(layer, session.due(FIRST))])

    def timer(self, timer: Timer, view: View) -> Step:
        """The next round of a session is due."""
        session = self._memory.sessions.get(LayerId(timer.key)) if isinstance(timer.key, int) else None
        if session is None:
            return NOTHING
        if session.committee.active is None:
            session.committee = replace(session.committee, active=self._active_set(view, session.layer))
        if session.protocol.next_round == FIRST:
            own = [signer.identity for signer in session.signers]
            session.protocol.initial = self._selection.votes(view, session.layer, session.committee.beacon, own)
        return self._execute(session, view)

    def answer(self, answer: Answer, view: View) -> Step:
        """A proof of an own identity is here, or cannot be had."""
        tag = answer.tag
        assert isinstance(tag, _ProofTag), "nothing else is asked for with a tag"
        session = self._memory.sessions.get(tag.layer)
        if session is None:
            return NOTHING
        eligibility = None
        if isinstance(answer.result, bytes):
            proof = VrfSignature(answer.result)
            eligibility = session.committee.seats(tag.at, tag.identity, proof)
        if tag.at == session.protocol.next_round:
            session.awaited.discard(tag.identity)
            if eligibility is not None:
                session.eligible[tag.identity] = eligibility
            elif tag.at == FIRST and not session.awaited and not session.eligible:
                return self._execute(session, view)
        elif session.said is not None and session.said.at == tag.at and eligibility is not None:
            return Step(effects=self._say(session, session.said, {tag.identity: eligibility}))
        return NOTHING

    # ---- rounds ----

    def _ask_proofs(self, session: Session) -> list[Effect]:
        """Ask for what own identities need to speak in the next round."""
        at = session.protocol.next_round
        session.awaited, session.eligible = set(), {}
        if at.round not in MESSAGE_ROUNDS:
            return []
        session.awaited = {
            signer.identity for signer in session.signers if session.committee.is_active(signer.identity)
        }
        question = session.committee.alpha(at)
        return [
            Ask(ProveVrf(signer.identity, question), _ProofTag(session.layer, at, signer.identity))
            for signer in session.signers
            if signer.identity in session.awaited
        ]

    def _active_set(self, view: View, layer: LayerId) -> ActiveSet | None:
        try:
            return self._oracle.active_set(view, layer)
        except EligibilityError:
            return None

    def _execute(self, session: Session, view: View) -> Step:
        """The next round: say what is to be said, keep what came of it, and go on or end."""
        layer, eligible = session.layer, session.eligible
        output = session.protocol.next()
        session.said = output.said
        rows = Rows(view)
        effects = [] if output.said is None else self._say(session, output.said, eligible)
        if output.coin is not None:
            rows.put(WEAK_COINS, layer, output.coin)
            self._tortoise.on_weak_coin(layer, output.coin)
        if output.result is not None:
            session.is_agreed = True
            self._put(rows, layer, output.result)
            effects.append(Emit(HareAgreed(layer, output.result, output.executed.iter)))
        if self._is_over(session, output):
            return Step(rows, [*effects, self._end(session, output)])
        asks = self._ask_proofs(session)
        due = session.due(session.protocol.next_round)
        return Step(rows, [*effects, *asks, SetTimer(layer, due)])

    def _put(self, rows: Rows, layer: LayerId, result: Proposals) -> None:
        rows.put(AGREED, layer, result)
        first = LayerId(max(0, layer - self._memory.bounds.outputs + 1))
        for old in list(rows.keys(AGREED, Span(stop=first))):
            rows.delete(AGREED, old)

    def _is_over(self, session: Session, output: RoundOutput) -> bool:
        return output.is_terminated or output.executed.iter == session.parameters.iterations_limit

    def _end(self, session: Session, output: RoundOutput) -> Effect:
        """Forget a session. Where it was terminated, blocks will say when the layer is complete."""
        del self._memory.sessions[session.layer]
        if not output.is_terminated:
            self._patrol.complete(session.layer)
        return Emit(HareEnded(session.layer, session.is_agreed, session.messages))

    # ---- what we say ----

    def _say(self, session: Session, said: Said, eligible: dict[NodeId, HareEligibility]) -> list[Effect]:
        """Messages of those who have seats, unless they were told to stop since the session began."""
        allowed = {signer.identity for signer in self._keys.signers()}
        speaking = [signer for signer in session.signers if signer.identity in eligible.keys() & allowed]
        if not speaking:
            return []
        if len(said.proposals) > MAX_PROPOSALS:
            return [Emit(HareUnsaid(session.layer, said.at, "too_many_proposals"))]
        if not session.version.is_compact(said.at.round):
            return [self._message(session, said, signer, eligible[signer.identity]) for signer in speaking]
        short = exchange.compacted(self._selection.of_layer(session.layer), said.proposals)
        if short is None:
            return [Emit(HareUnsaid(session.layer, said.at, "proposal_missing"))]
        return [self._message(session, said, signer, eligible[signer.identity], short) for signer in speaking]

    def _message(
        self,
        session: Session,
        said: Said,
        signer: Signer,
        eligibility: HareEligibility,
        short: Sequence[CompactProposalId] = (),
    ) -> Publish:
        """short: in version 4, in the preround, what is sent in place of the proposals."""
        version, layer = session.version, session.layer
        body = version.body(layer, said, eligibility)
        signature = signer.sign(Domain.HARE, metadata_of(body, body.hash()))
        if isinstance(body, Hare4Body) and version.is_compact(said.at.round):
            body = shortened(body, short)
            self._memory.lists.put(layer, body.hash(), said.proposals, is_counted=True)
        slot = Slot(signer.identity, Kind.HARE, layer, said.at.absolute())
        return Publish(version.parameters.topic, version.encode(body, signer.identity, signature), slot)
