"""A stand-in for hare: sessions, graded gossip of one round, equivocation, votes of the own keys."""

from __future__ import annotations

from dataclasses import dataclass, replace

from node.contract.checks import SignatureCheck
from node.contract.effects import Effect, Emit, Publish, ReportMalfeasance, SetTimer, StopIdentity
from node.contract.inputs import Tick, Timer
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.messages import Message, Origin
from node.contract.ports import Keys, Signer
from node.contract.steps import NOTHING, Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import ACCEPT, ignore, reject
from node.store.keys import fixed
from node.store.own import SIGNED, Kind, Slot
from node.store.table import RAW, Table
from node.store.view import Rows, View
from protocol.codec.declare import CodecError
from protocol.crypto.signing import Domain
from protocol.numbers.durations import SECOND
from protocol.types.hare import Hare3Body, Hare3Message, Hare3Value, HareEligibility, HareMetadata, IterRound
from protocol.types.ids import EdSignature, Hash32, LayerId, NodeId, ProposalId, VrfSignature
from protocol.types.malfeasance import HareProof, HareProofMsg, MalfeasanceProof

TOPIC = "/h/3.0"
ROUNDS = (IterRound(0, 0), IterRound(0, 3), IterRound(0, 6))
ROUND_SECONDS = 12

PROOFS: Table[NodeId, bytes] = Table(b"mf", "proofs of malfeasance", fixed(32), RAW)


def message(signer: Signer, layer: int, round: IterRound, proposals: tuple[bytes, ...]) -> bytes:
    """A signed message."""
    reference = Hash32(bytes(32)) if round.round == 6 else None
    value = Hare3Value(tuple(ProposalId(one) for one in proposals), reference)
    body = Hare3Body(LayerId(layer), round, value, HareEligibility(VrfSignature(bytes(80)), 1))
    unsigned = Hare3Message(body, signer.identity, EdSignature(bytes(64)))
    signature = signer.sign(Domain.HARE, unsigned.signed_bytes())
    return Hare3Message.codec.encode(replace(unsigned, signature=signature))


@dataclass(frozen=True, slots=True)
class HareEnded:
    """An event: how many messages a session has counted."""

    layer: LayerId
    votes: int


@dataclass(slots=True)
class Session:
    """What is known of a layer. Mutable."""

    signers: tuple[Signer, ...]
    first: dict[tuple[IterRound, NodeId], Hare3Message]
    equivocators: set[tuple[IterRound, NodeId]]


class Hare(Machine):
    """The stand-in."""

    name = "hare"
    topics = (TOPIC,)
    signs = True
    ticks = True

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.sessions: dict[LayerId, Session] = {}

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        self.sessions[tick.layer] = Session(tuple(self._keys.signers()), {}, set())
        return Step(effects=[self._round_timer(tick.layer, 0, after(tick.due, ROUND_SECONDS * SECOND))])

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        layer, place = timer.key  # type: ignore[misc]
        session = self.sessions[layer]
        if place == len(ROUNDS):
            del self.sessions[layer]
            return Step(effects=[Emit(HareEnded(layer, len(session.first)))])
        effects: list[Effect] = [
            Publish(
                TOPIC,
                message(signer, layer, ROUNDS[place], (b"p" * 20,)),
                Slot(signer.identity, Kind.HARE, layer, ROUNDS[place].absolute()),
            )
            for signer in session.signers
        ]
        return Step(effects=[*effects, self._round_timer(layer, place + 1, after(timer.due, ROUND_SECONDS * SECOND))])

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        try:
            decoded = Hare3Message.codec.decode(message.data)
        except CodecError as error:
            return Judged(reject("malformed", str(error)))
        if not decoded.is_well_formed():
            return Judged(reject("reference"))
        if decoded.body.layer not in self.sessions:
            return Judged(ignore("no_session"))
        check = SignatureCheck(Domain.HARE, decoded.sender, decoded.signed_bytes(), decoded.signature)
        return Needs(signatures=(check,), memo=decoded)

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        decoded = ticket.memo
        assert isinstance(decoded, Hare3Message)
        if not found.all_hold:
            return Judged(reject("signature"))
        session = self.sessions.get(decoded.body.layer)
        if session is None:  # it has ended while the signature was checked
            return Judged(ignore("no_session"))
        if ticket.message.origin is Origin.GOSSIP and decoded.sender in {key.identity for key in session.signers}:
            return self._own_from_outside(decoded, ticket.message.data, view)
        return self._count(session, decoded)

    def _count(self, session: Session, decoded: Hare3Message) -> Judged:
        place = decoded.body.iter_round, decoded.sender
        known = session.first.get(place)
        if known is None:
            session.first[place] = decoded
            return Judged(ACCEPT)
        if known.body.hash() == decoded.body.hash() or place in session.equivocators:
            return Judged(ignore("duplicate"))
        proof = MalfeasanceProof(decoded.body.layer, HareProof((_proof_message(known), _proof_message(decoded))))
        session.equivocators.add(place)
        report = ReportMalfeasance(decoded.sender, MalfeasanceProof.codec.encode(proof))
        return Judged(ACCEPT, effects=[report])

    def _own_from_outside(self, decoded: Hare3Message, data: bytes, view: View) -> Judged:
        slot = Slot(decoded.sender, Kind.HARE, decoded.body.layer, decoded.body.iter_round.absolute())
        if view.get(SIGNED, slot) == data:
            return Judged(ignore("own"))
        sentence = (
            f"Identity {decoded.sender.hex()} signs on another machine too: a message of layer {decoded.body.layer} "
            "came from outside. It signs no more here."
        )
        return Judged(ignore("own_of_another"), effects=[StopIdentity(decoded.sender, sentence)])

    def _round_timer(self, layer: LayerId, place: int, due: Instant) -> SetTimer:
        return SetTimer((layer, place), due)


class Proofs(Machine):
    """The stand-in for the machine that keeps proofs of malfeasance: the first one counts."""

    name = "malfeasance"
    keeps_proofs = True

    def convict(self, identity: bytes, proof: bytes, view: View, now: Instant) -> Step:
        if view.has(PROOFS, NodeId(identity)):
            return NOTHING
        rows = Rows(view)
        rows.put(PROOFS, NodeId(identity), proof)
        return Step(rows)


def _proof_message(message: Hare3Message) -> HareProofMsg:
    metadata = HareMetadata(message.body.layer, message.body.iter_round.absolute(), message.body.hash())
    return HareProofMsg(metadata, message.sender, message.signature)
