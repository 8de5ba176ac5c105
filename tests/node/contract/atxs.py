"""A stand-in for activation: ATXs with dependencies and a PoST, PoET proofs, and a builder of own ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from node.contract.checks import SignatureCheck
from node.contract.demands import Demand, Fetch, Fetched, PostVerdict, VerifyPost
from node.contract.effects import Effect, Emit, Publish, ReportMalfeasance
from node.contract.inputs import Answer, Sent, Tick
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.messages import Message, Origin
from node.contract.owed import owed
from node.contract.ports import Keys, Signer
from node.contract.steps import Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import ACCEPT, ignore, reject
from node.store.keys import compound, fixed, u32
from node.store.own import SIGNED, Kind, Slot
from node.store.table import RAW, Table
from node.store.view import Rows, View
from protocol.codec.declare import CodecError, Record, c32, record, u64, up_to
from protocol.crypto.hashing import hash32
from protocol.crypto.signing import Domain
from protocol.numbers.durations import SECOND
from protocol.types.activation import PostMetadataV1, PostV1
from protocol.types.fetch import Hint
from protocol.types.ids import EMPTY_ATX_ID, AtxId, EdSignature, Hash32, NodeId

TOPIC = "ax1"
EPOCH_LAYERS = 4
VALID_FOR = 4 * EPOCH_LAYERS * 300 * SECOND


@record
class Atx(Record):
    """An activation, as far as the walks need it."""

    epoch: Annotated[int, c32]
    previous: AtxId
    """Zeros: none."""
    poet: Hash32
    smesher: NodeId
    note: Annotated[bytes, up_to(100)]
    """What makes two of one epoch differ."""
    signature: EdSignature

    def id(self) -> AtxId:
        """The hash of everything but the signature."""
        return AtxId(hash32(self.signed()))

    def signed(self) -> bytes:
        """What the signature covers."""
        return self.codec.encode(replace(self, signature=EdSignature(bytes(64))))


@record
class StoredAtx(Record):
    """A row."""

    data: Annotated[bytes, up_to(1000)]
    received: Annotated[int, u64]


ATXS: Table[AtxId, StoredAtx] = Table(b"ax", "atxs", fixed(32), StoredAtx.codec)
BY_EPOCH = ATXS.index(
    b"ae",
    "atxs by epoch and smesher",
    compound(u32, fixed(32)),
    lambda id, row: ((Atx.codec.decode(row.data).epoch, Atx.codec.decode(row.data).smesher),),
)
POETS: Table[Hash32, bytes] = Table(b"po", "poet proofs", fixed(32), RAW)
TABLES = (ATXS, POETS)


def atx(signer: Signer, epoch: int, previous: AtxId = EMPTY_ATX_ID, poet: bytes = b"", note: bytes = b"") -> Atx:
    """A signed activation."""
    unsigned = Atx(epoch, previous, Hash32(hash32(poet)), signer.identity, note, EdSignature(bytes(64)))
    return replace(unsigned, signature=signer.sign(Domain.ATX, unsigned.signed()))


@dataclass(frozen=True, slots=True)
class _Stage:
    decoded: Atx
    name: str


class Atxs(Machine):
    """Judges activations."""

    name = "activation"
    topics = (TOPIC,)
    hints = (Hint.ATX,)
    signs = True

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        try:
            decoded = Atx.codec.decode(message.data)
        except CodecError as error:
            return Judged(reject("malformed", str(error)))
        if message.expected not in (None, decoded.id()):
            return Judged(reject("incorrect_hash"))
        known = self._known(decoded, message, view)
        if known is not None:
            return known
        check = SignatureCheck(Domain.ATX, decoded.smesher, decoded.signed(), decoded.signature)
        return Needs(signatures=(check,), memo=_Stage(decoded, "signature"))

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        stage = ticket.memo
        assert isinstance(stage, _Stage)
        decoded, message = stage.decoded, ticket.message
        if not found.all_hold:
            return Judged(reject("signature"))
        known = self._known(decoded, message, view)  # whatever was true before the wait
        if known is not None:
            return known
        if stage.name == "dependencies" and not all(
            isinstance(one, Fetched) and one.verdict.is_accepted for one in found.results
        ):
            return Judged(ignore("dependency"))
        missing = self._missing(decoded, message, view)
        if missing:
            return Needs(demands=missing, memo=_Stage(decoded, "dependencies"))
        if stage.name != "post":
            return Needs(demands=(_post_of(decoded),), memo=_Stage(decoded, "post"))
        (verdict,) = found.results
        assert isinstance(verdict, PostVerdict)
        if not verdict.is_valid:
            proof = b"wrong position of " + decoded.id()
            effects = [ReportMalfeasance(decoded.smesher, proof)] if verdict.wrong_position is not None else []
            return Judged(reject("post"), effects=effects)
        rows = Rows(view)
        rows.put(ATXS, decoded.id(), StoredAtx(message.data, message.received))
        return Judged(ACCEPT, rows)

    def _known(self, decoded: Atx, message: Message, view: View) -> Judged | None:
        if not view.has(ATXS, decoded.id()):
            return None
        return Judged(ignore("known") if message.origin is Origin.GOSSIP else ACCEPT)

    def _missing(self, decoded: Atx, message: Message, view: View) -> list[Demand]:
        peers = () if message.peer is None else (message.peer,)
        missing: list[Demand] = []
        if not view.has(POETS, decoded.poet):
            missing.append(Fetch(Hint.POET, decoded.poet, peers))
        if decoded.previous != EMPTY_ATX_ID and not view.has(ATXS, decoded.previous):
            missing.append(Fetch(Hint.ATX, decoded.previous, peers))
        return missing


class Poets(Machine):
    """Judges PoET proofs: any bytes with the right hash."""

    name = "poets"
    hints = (Hint.POET,)

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        ref = Hash32(hash32(message.data))
        if ref != message.expected:
            return Judged(reject("incorrect_hash"))
        rows = Rows(view)
        rows.put(POETS, ref, message.data)
        return Judged(ACCEPT, rows)


@dataclass(frozen=True, slots=True)
class AtxSent:
    """An event."""

    id: AtxId


class Builder(Machine):
    """Publishes one activation an epoch, in the first layer. What it signs differs each time that it signs."""

    name = "builder"
    ticks = True

    def __init__(self, keys: Keys, poet: bytes) -> None:
        self._keys = keys
        self._poet = poet
        self.signed = 0

    def start(self, view: View, now: Instant) -> Step:
        return Step(effects=[replace(one, tag="again") for one in owed(view, self.name, now)])

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        epoch, ordinal = divmod(tick.layer, EPOCH_LAYERS)
        if ordinal:
            return Step()
        effects: list[Effect] = []
        for signer in self._keys.signers():
            slot = Slot(signer.identity, Kind.ATX, epoch)
            if view.has(SIGNED, slot) and any(view.find(BY_EPOCH)):
                continue
            self.signed += 1
            made = atx(signer, epoch, poet=self._poet, note=b"%d %d" % (now, self.signed))
            effects.append(
                Publish(TOPIC, Atx.codec.encode(made), slot, owed_until=after(now, VALID_FOR), tag="published")
            )
        return Step(effects=effects)

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        assert isinstance(answer.asked, Publish)
        if not isinstance(answer.result, Sent):
            return Step()
        return Step(effects=[Emit(AtxSent(Atx.codec.decode(answer.asked.data).id()))])


def _post_of(decoded: Atx) -> VerifyPost:
    return VerifyPost(
        decoded.smesher, EMPTY_ATX_ID, PostV1(0, b"", 0), PostMetadataV1(decoded.poet, 1024), 4, positions=(1, 2)
    )
