"""What becomes of the messages of hare.

| step | else |
|---|---|
| it can be read, and names a reference where there must be one | rejected |
| a session of its layer runs | ignored |
| version 4, preround: the full list is known, fitted together, or got from the peer | ignored |
| the signature is good; if not, version 4 asks for the list once | rejected |
| it would not be dropped by graded gossip anyway, and there is room | ignored |
| the sender has the seats that it claims | ignored |
| graded gossip takes it; a contradiction is reported | ignored |

A proof is looked at only behind a good signature of somebody who can have seats, and a list is asked of none but the
peer that sent the message. Protocol 05-consensus, sections 3.3, 4 and 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from node.contract.checks import SignatureCheck, VrfCheck
from node.contract.demands import Failed, Request, Result
from node.contract.effects import Effect, Penalise, ReportMalfeasance, StopIdentity
from node.contract.messages import Message, Origin
from node.contract.quick import quick
from node.contract.steps import Found, Judged, Needs, Ticket
from node.contract.verdicts import ACCEPT, Verdict, ignore, reject
from node.hare import exchange
from node.hare.gossip import TOP_GRADE, HareInput
from node.hare.proposals import Selection
from node.hare.session import Memory, Session
from node.hare.versions import AnyMessage, Version, in_full, metadata_of, proof_of
from node.malfeasance.tables import is_malicious
from node.store.view import View
from protocol.codec.declare import CodecError
from protocol.crypto.signing import Domain
from protocol.types.hare import Hare4Body, Hare4Message, HareRound, is_well_formed
from protocol.types.ids import Hash32, ProposalId


class _Stage(Enum):
    """What a message waits for."""

    LIST = auto()
    """Its full list, since a short id fits no proposal of ours."""
    LIST_AGAIN = auto()
    """Its full list, since the one that was fitted together is not what was signed."""
    SIGNATURE = auto()
    PROOF = auto()


@quick
class _Heard:
    """A message on its way."""

    version: Version
    message: AnyMessage
    """With the body that is signed, as soon as it is known."""
    hash: Hash32
    """Of the body that is signed."""
    id: Hash32 | None = None
    """In the exchange of lists: of the body as it was sent. None where it was sent in full."""
    short: int = 0
    """How many short ids were sent."""
    is_fetched: bool = False
    """Whether the list came from the peer."""


class Reception:
    """The judge of what others say."""

    def __init__(self, memory: Memory, selection: Selection) -> None:
        self._memory = memory
        self._selection = selection

    # ---- steps ----

    def admit(self, message: Message) -> Judged | Needs:
        """The first step of a message."""
        version = self._memory.version_of(message.channel)
        try:
            decoded = version.decode(message.data)
        except CodecError as error:
            return Judged(reject("malformed", str(error)))
        at, value = decoded.body.iter_round, decoded.body.value
        if at.round > HareRound.NOTIFY:
            return Judged(reject("unknown_round", f"Round {at.round} of an iteration, expected at most 7."))
        if not is_well_formed(decoded.body):
            return Judged(reject("missing_reference" if value.reference is None else "unexpected_reference"))
        session = self._memory.session(version, decoded.body.layer)
        if session is None:
            return Judged(ignore("no_session"))
        if version.is_compact(at.round):
            return self._fit_together(session, decoded, message)
        return _to_signature(_Heard(version, decoded, decoded.body.hash()))

    def proceed(self, ticket: Ticket, found: Found, view: View) -> Judged | Needs:
        """A further step: what it waited for is here."""
        assert isinstance(ticket.memo, tuple)
        stage: _Stage = ticket.memo[0]
        heard: _Heard = ticket.memo[1]
        session = self._memory.session(heard.version, heard.message.body.layer)
        if session is None:  # it ended meanwhile
            return Judged(ignore("no_session"))
        match stage:
            case _Stage.LIST | _Stage.LIST_AGAIN:
                return _take_list(stage, heard, found.results[0], ticket.message)
            case _Stage.SIGNATURE:
                return self._signed(session, heard, found.all_hold, ticket.message)
            case _Stage.PROOF:
                return self._proven(session, heard, found.all_hold, ticket.message, view)

    # ---- short ids ----

    def _fit_together(self, session: Session, decoded: AnyMessage, message: Message) -> Judged | Needs:
        body = decoded.body
        assert isinstance(body, Hare4Body)
        id, short = body.hash(), body.value.compact_proposals
        heard = _Heard(session.version, decoded, id, id=id, short=len(short))
        ids = self._memory.lists.get(id)
        if ids is None:
            local = self._selection.of_layer(body.layer)
            if not local:
                return Judged(ignore("no_local_proposals"))
            ids = exchange.matched(session.by_short_id(local), short)
        if ids is None:
            return self._to_list(heard, _Stage.LIST, message)
        return _to_signature(_with_list(heard, ids))

    def _to_list(self, heard: _Heard, stage: _Stage, message: Message) -> Judged | Needs:
        assert heard.id is not None, "it was sent with short ids"
        if message.peer is None:
            return Judged(ignore("no_peer"))
        timeout = self._memory.bounds.request_timeout
        demand = Request(exchange.PROTOCOL, exchange.request(heard.id), message.peer, timeout)
        return Needs(demands=(demand,), memo=(stage, heard))

    # ---- signature, proof, graded gossip ----

    def _signed(self, session: Session, heard: _Heard, is_signed: bool, message: Message) -> Judged | Needs:
        if not is_signed:
            if heard.id is None or heard.is_fetched:
                return Judged(reject("bad_signature"))
            return self._to_list(heard, _Stage.LIST_AGAIN, message)
        refusal = self._refusal(session, heard)
        if refusal is not None:
            return Judged(refusal)
        body, sender = heard.message.body, heard.message.sender
        if body.eligibility.count == 0 or not session.committee.is_active(sender):
            return Judged(ignore("not_eligible"))
        check = VrfCheck(sender, session.committee.alpha(body.iter_round), body.eligibility.proof)
        return Needs(vrf_proofs=(check,), memo=(_Stage.PROOF, heard))

    def _refusal(self, session: Session, heard: _Heard) -> Verdict | None:
        """Why a message with a good signature goes no further, whatever seats its sender has."""
        at, sender = heard.message.body.iter_round, heard.message.sender
        if session.protocol.is_known(at, sender, heard.hash):
            return ignore("dropped")
        if session.uncounted >= self._memory.bounds.uncounted and not session.is_counted(at):
            return ignore("too_many_uncounted")
        return None

    def _proven(self, session: Session, heard: _Heard, is_proven: bool, message: Message, view: View) -> Judged:
        body, sender = heard.message.body, heard.message.sender
        at, value, eligibility = body.iter_round, body.value, body.eligibility
        refusal = self._refusal(session, heard)
        if refusal is not None:
            return Judged(refusal)
        if not is_proven or not session.committee.has_seats(at, sender, eligibility):
            return Judged(ignore("not_eligible"))
        was_malicious = is_malicious(view, sender)
        effects = _effects_of_own(session, heard, message)
        taken = HareInput(
            sender,
            at,
            tuple(value.proposals),
            value.reference,
            heard.hash,
            eligibility.proof,
            eligibility.count,
            TOP_GRADE,
            was_malicious,
            heard.message.signature,
        )
        equivocation = session.receive(taken)
        if message.origin is Origin.OWN:
            session.own[at, sender] = heard.hash
        if equivocation is not None and not was_malicious:
            effects.append(ReportMalfeasance(sender, proof_of(body.layer, equivocation)))
        if heard.id is not None:
            self._memory.lists.put(body.layer, heard.id, taken.proposals, is_counted=session.is_counted(at))
        return Judged(ACCEPT, effects=effects)


def _with_list(heard: _Heard, ids: Sequence[ProposalId], *, is_fetched: bool = False) -> _Heard:
    assert isinstance(heard.message, Hare4Message)
    message, hash = in_full(heard.message, ids)
    return _Heard(heard.version, message, hash, heard.id, heard.short, is_fetched)


def _to_signature(heard: _Heard) -> Needs:
    message = heard.message
    check = SignatureCheck(Domain.HARE, message.sender, metadata_of(message.body, heard.hash), message.signature)
    return Needs(signatures=(check,), memo=(_Stage.SIGNATURE, heard))


def _take_list(stage: _Stage, heard: _Heard, result: Result, message: Message) -> Judged | Needs:
    reason = "fetch_failed" if stage is _Stage.LIST else "fetch_failed_after_bad_signature"
    if not isinstance(result, bytes):
        return Judged(ignore(reason, result.detail if isinstance(result, Failed) else ""))
    try:
        ids = exchange.responded(result)
    except (CodecError, ValueError) as error:
        assert message.peer is not None, "it was asked"
        return Judged(ignore(reason, str(error)), effects=(Penalise(message.peer, "malformed_full_exchange"),))
    if stage is _Stage.LIST:
        return _to_signature(_with_list(heard, sorted(ids), is_fetched=True))
    if len(ids) != heard.short:
        return Judged(ignore("fetched_length_mismatch"))
    return _to_signature(_with_list(heard, ids, is_fetched=True))


def _effects_of_own(session: Session, heard: _Heard, message: Message) -> list[Effect]:
    """What follows where a peer brings a message of an identity of ours that this node did not make."""
    sender, body = heard.message.sender, heard.message.body
    if message.origin is Origin.OWN or not any(signer.identity == sender for signer in session.signers):
        return []
    if session.own.get((body.iter_round, sender)) == heard.hash:
        return []
    sentence = (
        f"Identity {sender.hex()} signs on another machine too: a message of hare in layer {body.layer} came from "
        "outside. It signs no more here."
    )
    return [StopIdentity(sender, sentence)]
