"""The machine of certificates: messages of certifiers, certificates of peers, and our own word on what hare came to.

| of a block | when | then |
|---|---|---|
| messages | they come, the layer is near the current one | kept, one a smesher |
| registered | hare came to it here | we certify it; enough messages make a certificate |
| certified | enough seats, or a peer's certificate | further messages go on without a look |
| two certified blocks in a layer | | tortoise is told that the layer is empty |

Messages for a block that is not registered make no certificate here: it is got from peers. Protocol 05-consensus,
section 9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from node.certificates.adoption import adopt
from node.certificates.collected import LayerMessages, belonging
from node.certificates.parameters import CertificateParameters
from node.certificates.seats import Seats
from node.certificates.tables import HARE_OUTPUTS
from node.contract.checks import Checker
from node.contract.demands import ProveVrf
from node.contract.effects import Ask, Effect, Emit, Publish, StopIdentity
from node.contract.inputs import Answer, Change, Tick
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message, Origin
from node.contract.owed import owed
from node.contract.ports import Keys, signer_of
from node.contract.steps import NOTHING, Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import ACCEPT, ignore, reject
from node.eligibility.active_set import Oracle
from node.eligibility.errors import EligibilityError
from node.store.own import SIGNED, Kind, Slot
from node.store.view import Rows, Span, View
from protocol.codec.declare import CodecError
from protocol.crypto.signing import Domain
from protocol.numbers.layers import NetworkTime
from protocol.types.certificates import Certificate, CertifyContent, CertifyMessage
from protocol.types.ids import EMPTY_BLOCK_ID, BlockId, EdSignature, LayerId, NodeId, VrfSignature

TOPIC = "bc1"
HINT = "certificate"
"""Of a certificate that a peer sent; what was asked for is the layer, four bytes, big-endian."""


class HareOutputs(Protocol):
    """What tortoise is told."""

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None:
        """The block that hare came to; zeros for none."""


@dataclass(frozen=True, slots=True)
class BlockCertified:
    """An event: a certificate was adopted, the only valid one of its layer."""

    layer: LayerId
    block: BlockId


@dataclass(frozen=True, slots=True)
class SeveralCertified:
    """An event: more than one block of a layer has a valid certificate."""

    layer: LayerId


@dataclass(frozen=True, slots=True)
class NotCertified:
    """An event: what hare came to here cannot be certified by us. reason: of the EligibilityError."""

    layer: LayerId
    block: BlockId
    reason: str


@dataclass(frozen=True, slots=True)
class _ProofTag:
    """Names a proof of an own identity that was asked for."""

    identity: NodeId
    layer: LayerId
    block: BlockId


@dataclass(frozen=True, slots=True)
class _Entries:
    """A certificate of a peer, whose entries are looked at."""

    layer: LayerId
    certificate: Certificate
    entries: Sequence[CertifyMessage]


class CertificateMachine(Machine):
    """The certificates of one network."""

    name = "certificates"
    topics = (TOPIC,)
    hints = (HINT,)
    signs = True
    ticks = True
    watches = (HARE_OUTPUTS,)

    def __init__(
        self,
        parameters: CertificateParameters,
        time: NetworkTime,
        oracle: Oracle,
        tortoise: HareOutputs,
        keys: Keys,
        checker: Checker,
        may_sign: Callable[[Instant], bool],
    ) -> None:
        """checker: for stored certificates of a layer for which another one comes, which honest committees never
        make. may_sign: whether the own identities may sign for a layer that began at an instant."""
        self._parameters = parameters
        self._time = time
        self._seats = Seats(parameters.committee, time, oracle)
        self._tortoise = tortoise
        self._keys = keys
        self._checker = checker
        self._may_sign = may_sign
        self._current = LayerId(0)
        self._layers: dict[LayerId, LayerMessages] = {}

    @property
    def layers(self) -> Sequence[LayerId]:
        """The layers of which messages are remembered, ascending."""
        return sorted(self._layers)

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says. Messages that came before are gone: peers have the certificates that were made of them."""
        self._current = self._time.layer_at(now)
        for layer, block in view.scan(HARE_OUTPUTS, Span(start=self._oldest())):
            self._of(layer).of(block).is_registered = True
        return Step(effects=owed(view, self.name, now))

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        """As Machine says: old layers are forgotten."""
        self._current = tick.layer
        for layer in [layer for layer in self._layers if layer < self._oldest()]:
            del self._layers[layer]
        return NOTHING

    def _oldest(self) -> LayerId:
        genesis, keep = self._time.effective_genesis, self._parameters.layers_to_keep
        return LayerId(self._current - keep) if self._current > keep else genesis

    def _of(self, layer: LayerId) -> LayerMessages:
        return self._layers.setdefault(layer, LayerMessages())

    # ---- what hare came to here ----

    def changed(self, change: Change, view: View, now: Instant) -> Step:
        """As Machine says: blocks that hare came to are registered, and certified where we have seats."""
        rows = Rows(view)
        effects: list[Effect] = []
        for layer in change.keys:
            block = view.get(HARE_OUTPUTS, layer)
            if block is None:
                continue
            effects += self._register(rows, layer, block)
            effects += self._ask_proofs(view, layer, block)
        return Step(rows, effects)

    def _register(self, rows: Rows, layer: LayerId, block: BlockId) -> list[Effect]:
        collected = self._of(layer).of(block)
        collected.is_registered = True
        certificate = collected.certificate(block, self._parameters.threshold)
        return [] if certificate is None else [self._adopt(rows, layer, certificate)]

    def _ask_proofs(self, view: View, layer: LayerId, block: BlockId) -> list[Effect]:
        if not self._may_sign(Instant(self._time.start_ns(layer))):
            return []
        try:
            alpha = self._seats.alpha(view, layer)
            return [
                Ask(ProveVrf(signer.identity, alpha), _ProofTag(signer.identity, layer, block))
                for signer in self._keys.signers()
                if self._seats.is_active(view, layer, signer.identity)
            ]
        except EligibilityError as error:
            return [Emit(NotCertified(layer, block, error.reason))]

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        """As Machine says: a proof of an own identity is here."""
        tag = answer.tag
        if not isinstance(tag, _ProofTag) or not isinstance(answer.result, bytes):
            return NOTHING
        signer = signer_of(self._keys, tag.identity)
        if signer is None:
            return NOTHING
        proof = VrfSignature(answer.result)
        try:
            count = self._seats.of(view, tag.layer, tag.identity, proof)
        except EligibilityError as error:
            return Step(effects=[Emit(NotCertified(tag.layer, tag.block, error.reason))])
        if count == 0:
            return NOTHING
        content = CertifyContent(tag.layer, tag.block, count, proof)
        signature = EdSignature(signer.sign(Domain.HARE, CertifyContent.codec.encode(content)))
        message = CertifyMessage(content, signature, tag.identity)
        end = Instant(self._time.start_ns(tag.layer + self._parameters.layer_buffer + 2))
        slot = Slot(tag.identity, Kind.CERTIFY, tag.layer)
        return Step(effects=[Publish(TOPIC, CertifyMessage.codec.encode(message), slot, end)])

    # ---- what others say ----

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        try:
            if message.origin is Origin.FETCHED:
                return self._admit_certificate(message, view)
            return self._admit_message(CertifyMessage.codec.decode(message.data), view)
        except CodecError as error:
            return Judged(reject("malformed", str(error)))
        except EligibilityError as error:
            return Judged(ignore(error.reason, str(error)))

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        memo = ticket.memo
        try:
            if isinstance(memo, _Entries):
                return self._take_certificate(memo, found, view)
            assert isinstance(memo, CertifyMessage)
            judged = self._take_message(memo, found, view)
            if not all(found.signatures):
                return judged
            return replace(judged, effects=(*judged.effects, *self._from_elsewhere(memo, ticket.message, view)))
        except EligibilityError as error:
            return Judged(ignore(error.reason, str(error)))

    def _known(self, decoded: CertifyMessage, view: View) -> Judged | None:
        """The verdict on a message that needs no look at signature and proof."""
        layer = decoded.content.layer
        if self._seats.beacon(view, layer) is None:
            return Judged(ignore("beacon_missing"))
        if not self._is_expected(layer):
            return Judged(ignore("unexpected_layer"))
        messages = self._layers.get(layer)
        collected = None if messages is None else messages.blocks.get(decoded.content.block_id)
        if collected is not None and (collected.is_done or collected.messages.get(decoded.smesher_id) == decoded):
            return Judged(ACCEPT)
        return None

    def _is_expected(self, layer: LayerId) -> bool:
        buffer = self._parameters.layer_buffer
        first = self._current - (buffer + 1) if self._current > buffer + 1 else self._time.effective_genesis
        return first <= layer <= self._current + buffer

    def _admit_message(self, decoded: CertifyMessage, view: View) -> Judged | Needs:
        known = self._known(decoded, view)
        if known is not None:
            return known
        signatures, proofs = self._seats.checks(view, decoded.content.layer, (decoded,))
        return Needs(signatures, proofs, memo=decoded)

    def _take_message(self, decoded: CertifyMessage, found: Found, view: View) -> Judged:
        if not all(found.signatures):
            return Judged(reject("bad_signature"))
        known = self._known(decoded, view)
        if known is not None:
            return known
        layer, block = decoded.content.layer, decoded.content.block_id
        if not self._seats.is_active(view, layer, decoded.smesher_id):
            return Judged(ignore("not_active"))
        if not all(found.vrf_proofs):
            return Judged(ignore("not_eligible"))
        self._seats.require_seats(view, decoded)
        messages = self._layers.get(layer) or LayerMessages()
        collected = messages.blocks.get(block)
        if collected is not None and decoded.smesher_id in collected.messages:
            return Judged(ignore("repeated"))
        if not messages.has_room(decoded, self._parameters.blocks_by_smesher):
            return Judged(ignore("too_many_blocks"))
        certificate = None
        if collected is not None and collected.is_registered:
            certificate = collected.certificate(block, self._parameters.threshold, decoded)
        if certificate is None:
            self._of(layer).add(decoded)
            return Judged(ACCEPT)
        adopted = self._adopted(view, layer, certificate)
        self._of(layer).add(decoded)
        return adopted

    def _from_elsewhere(self, decoded: CertifyMessage, message: Message, view: View) -> list[Effect]:
        """What follows where a peer brings a word of an own identity that this node did not sign."""
        layer, identity = decoded.content.layer, decoded.smesher_id
        if message.origin is Origin.OWN or signer_of(self._keys, identity) is None:
            return []
        signed = view.get(SIGNED, Slot(identity, Kind.CERTIFY, layer))
        began_before = not self._may_sign(Instant(self._time.start_ns(layer)))
        if signed == message.data or (signed is None and began_before):  # an earlier life may have said it
            return []
        sentence = (
            f"Another node has certified a block of layer {layer} with the key of {identity.hex()}. Two nodes with one "
            "key contradict each other: run the key on one node only."
        )
        return [StopIdentity(identity, sentence)]

    def _admit_certificate(self, message: Message, view: View) -> Judged | Needs:
        if message.expected is None or len(message.expected) != 4:
            raise ValueError("a certificate is asked for by its layer, four bytes")
        layer = LayerId(int.from_bytes(message.expected, "big"))
        certificate = Certificate.codec.decode(message.data)
        entries = belonging(certificate, layer)
        if sum(entry.content.eligibility_count for entry in entries) < self._parameters.threshold:
            return Judged(ignore("certificate_below_threshold"))
        signatures, proofs = self._seats.checks(view, layer, entries)
        return Needs(signatures, proofs, memo=_Entries(layer, certificate, entries))

    def _take_certificate(self, memo: _Entries, found: Found, view: View) -> Judged:
        if self._valid_seats(view, memo.entries, found) < self._parameters.threshold:
            return Judged(ignore("certificate_below_threshold"))
        return self._adopted(view, memo.layer, memo.certificate)

    def _adopted(self, view: View, layer: LayerId, certificate: Certificate) -> Judged:
        """The verdict on what made a certificate valid, which is put."""
        rows = Rows(view)
        event = self._adopt(rows, layer, certificate)
        is_only = isinstance(event.event, BlockCertified)
        return Judged(ACCEPT if is_only else ignore("multiple_valid_certificates"), rows, [event])

    # ---- both ----

    def _adopt(self, rows: Rows, layer: LayerId, certificate: Certificate) -> Emit:
        """Put a certificate that is valid; only the rows can fail."""
        is_only = adopt(rows, layer, certificate, lambda stored: self._is_valid(rows, layer, stored))
        known = self._layers.get(layer)
        if known is not None and certificate.block_id in known.blocks:
            known.blocks[certificate.block_id].is_done = True
        if is_only:
            return Emit(BlockCertified(layer, certificate.block_id))
        self._tortoise.on_hare_output(layer, EMPTY_BLOCK_ID)
        return Emit(SeveralCertified(layer))

    def _is_valid(self, view: View, layer: LayerId, certificate: Certificate) -> bool:
        entries = belonging(certificate, layer)
        try:
            signatures, proofs = self._seats.checks(view, layer, entries)
        except EligibilityError:
            return False
        found = Found(self._checker.signatures(signatures), self._checker.vrf_proofs(proofs))
        return self._valid_seats(view, entries, found) >= self._parameters.threshold

    def _valid_seats(self, view: View, entries: Sequence[CertifyMessage], found: Found) -> int:
        """Seats of the entries that hold; others are passed over."""
        total = 0
        for entry, is_signed, is_proven in zip(entries, found.signatures, found.vrf_proofs, strict=True):
            if not (is_signed and is_proven):
                continue
            try:
                self._seats.require_seats(view, entry)
            except EligibilityError:
                continue
            total += entry.content.eligibility_count
        return total
