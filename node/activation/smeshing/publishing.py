"""An activation is signed and published: once for an epoch, whatever becomes of the node meanwhile.

| a verified proof of space | then |
|---|---|
| before its publish epoch, or before all activations of the past are here | waits |
| and the identity has another last activation by now | the challenge is dropped: to sign it would contradict |
| of a marriage that is merged | waits for the others, see `merging` |
| else | signed, noted in the own store, judged by the own handler, sent |

| a signed activation | then |
|---|---|
| that was not taken, or not sent | published again in every layer; its bytes stay |
| is sent | everything of its making goes |

Protocol 04-activation-beacon-eligibility, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from node.activation.machine import TOPIC
from node.activation.parameters import ActivationParameters
from node.activation.tables import ATXS, POETS, published
from node.contract.demands import Result
from node.contract.effects import Publish
from node.contract.inputs import NotSent, Sent
from node.contract.ports import Keys, Signer, signer_of
from node.store.own import SIGNED, Kind, Slot, sign_once
from node.store.view import View
from protocol.types.activation import ActivationTxV1, publish_epoch_of, version_of
from protocol.types.activation_v2 import ActivationTxV2
from protocol.types.ids import Address, EpochId, NodeId
from protocol.types.poet import PoetProofMessage

from . import build
from .build import Part
from .events import NotPublished, Published
from .merging import Merger, marriage_of, merger_of, nonce_check, own_members, part_of
from .rounds import keep_proof
from .space import last_of
from .tables import CHALLENGES, INITIAL_POSTS, ROUND_PROOFS, Challenge, Nipost, forget
from .times import Timeline
from .work import Errands, Tag, Work

PUBLISH, CHECK_NONCE = "publish", "check nonce"


@dataclass(slots=True)
class Nonces:
    """Whether the VRF nonce of an identity does for so many units, as far as it was checked."""

    known: dict[tuple[NodeId, int, int], bool] = field(default_factory=dict)
    """By identity, nonce and units. Grows only when an identity, or those it is merged with, change their units."""


class Publishing:
    """Of one identity. Mutable; what it remembers may be forgotten."""

    def __init__(
        self,
        identity: NodeId,
        timeline: Timeline,
        activation: ActivationParameters,
        errands: Errands,
        keys: Keys,
        coinbase: Callable[[], Address],
        is_synced: Callable[[], bool],
        nonces: Nonces,
    ) -> None:
        self._identity = identity
        self._timeline = timeline
        self._activation = activation
        self._errands = errands
        self._keys = keys
        self._coinbase = coinbase
        self._is_synced = is_synced
        self._nonces = nonces

    # ---- signing ----

    def advance(self, work: Work, challenge: Challenge, signer: Signer) -> str | None:
        """Sign and publish when it is time; a sentence where the challenge must be dropped instead."""
        publish = challenge.publish_epoch
        start = self._timeline.publication(publish)
        if work.now < start:
            self._errands.wake_at(start)
            return None
        if not self._is_synced():
            return None
        fault = self._fault(work.rows, challenge)
        if fault is not None:
            return fault
        part = part_of(work.rows, self._identity)
        assert part is not None, "its proof of space is verified"
        if self._timeline.parameters.is_merging and challenge.version == 2 and not challenge.is_initial:
            marriage = marriage_of(work.rows, self._keys, self._identity, publish)
            merger = None if marriage is None else merger_of(work.rows, marriage, challenge)
            if merger is not None and self._merge(work, merger, signer):
                return None
        data = self._build(work.rows, part, signer)
        if data is None:
            return "Its prover gave no VRF nonce, and none is known of it."
        self.send(work, publish, data)
        return None

    def _fault(self, view: View, challenge: Challenge) -> str | None:
        """Why an activation would contradict another one, or cannot be read, as a sentence."""
        publish = challenge.publish_epoch
        last = last_of(view, self._identity)
        known = None if last is None else view.get(ATXS, last)
        if published(view, self._identity, publish) or (known is not None and known.publish_epoch >= publish):
            return f"There is an activation of it for epoch {publish} already."
        if challenge.is_initial and last is not None:
            return f"It has activations by now, the last one is {last.hex()}; a first one would contradict them."
        if last is not None and last != challenge.prev_atx:
            return f"Its last activation is {last.hex()} by now, the challenge follows {challenge.prev_atx.hex()}."
        version = version_of(publish, self._activation.versions)
        if version != challenge.version:
            return f"Activations of epoch {publish} have version {version}, the challenge has {challenge.version}."
        return None

    def _build(self, view: View, part: Part, signer: Signer) -> bytes | None:
        nonce = self._nonce(view, part.challenge, part.nipost)
        if part.challenge.version == 1:
            return build.version_1(signer, part, self._coinbase(), self._nonce_to_name(view, part))
        return None if nonce is None else build.version_2(signer, part, self._coinbase(), nonce)

    def _nonce_to_name(self, view: View, part: Part) -> int | None:
        """In version 1 a nonce is named in a first activation, and where it is another one than before."""
        if part.challenge.is_initial:
            return self._nonce(view, part.challenge, part.nipost)
        before = view.get(ATXS, part.challenge.prev_atx)
        nonce = part.nipost.vrf_nonce
        return None if before is None or nonce == before.vrf_nonce else nonce

    def _nonce(self, view: View, challenge: Challenge, nipost: Nipost) -> int | None:
        """The nonce of an identity: of its prover, else the one along its activations, else of its initial proof."""
        if nipost.vrf_nonce is not None:
            return nipost.vrf_nonce
        before = None if challenge.is_initial else view.get(ATXS, challenge.prev_atx)
        if before is not None and before.smesher == self._identity:
            return before.vrf_nonce
        initial = view.get(INITIAL_POSTS, self._identity)
        return None if initial is None else initial.vrf_nonce

    # ---- several together ----

    def _merge(self, work: Work, merger: Merger, signer: Signer) -> bool:
        """Publish for all where that is this identity's part; False where it is to publish for itself."""
        if all(part.identity != self._identity for part in merger.parts):
            return False
        if not merger.is_complete:
            end = self._timeline.building(EpochId(merger.parts[0].challenge.publish_epoch + 1))
            if work.now < end:
                self._errands.wake_at(end)
                return True
        for part in merger.parts if len(merger.parts) > 1 else ():
            nonce = self._nonce_of(work.rows, part)
            if nonce is None or not self._may_lead(work, part, nonce, merger.units):
                continue
            if part.identity == self._identity and (part.identity, nonce, merger.units) in self._nonces.known:
                self._send_merged(work, merger, signer, nonce)
            return True  # the one that leads publishes for all, or finds that it may not
        return False

    def _nonce_of(self, view: View, part: Part) -> int | None:
        if part.nipost.vrf_nonce is not None or part.identity == self._identity:
            return self._nonce(view, part.challenge, part.nipost)
        initial = view.get(INITIAL_POSTS, part.identity)
        return None if initial is None else initial.vrf_nonce

    def _may_lead(self, work: Work, part: Part, nonce: int, units: int) -> bool:
        """Whether the nonce of an identity does for all, as far as it is known; each has its own checked."""
        known = self._nonces.known.get((part.identity, nonce, units))
        if known is not None:
            return known
        check = nonce_check(work.rows, part.identity, nonce, units, self._activation)
        if check is not None and part.identity == self._identity:
            self._errands.ask(work, check, CHECK_NONCE, f"{nonce} {units}")
        return check is not None

    def _send_merged(self, work: Work, merger: Merger, signer: Signer, nonce: int) -> None:
        publish = merger.parts[0].challenge.publish_epoch
        marriage = merger.marriage
        data = build.merged(signer, merger.parts, marriage.identities, marriage.atx, self._coinbase(), nonce)
        for part in merger.parts:
            sign_once(work.rows, Slot(part.identity, Kind.ATX, publish), data)
        self.send(work, publish, data)

    # ---- sending ----

    def send(self, work: Work, publish: EpochId, data: bytes) -> None:
        """Publish what is signed, unless another identity does so for this one."""
        if self._is_of_another(data):
            return
        detail = str(publish)
        if self._errands.is_open(PUBLISH, detail) or self._errands.is_held(PUBLISH):
            return
        for ref, proof in work.rows.scan(ROUND_PROOFS):
            if not work.rows.has(POETS, ref):
                keep_proof(work.rows, PoetProofMessage.codec.decode(proof), proof)
        end = self._timeline.publication_end(publish)
        owed = end if work.now < end else None
        tag = self._errands.opened(PUBLISH, detail)
        work.effects.append(Publish(TOPIC, data, Slot(self._identity, Kind.ATX, publish), owed, tag))

    def _is_of_another(self, data: bytes) -> bool:
        smesher = _read(data, self._activation).smesher_id
        return smesher != self._identity and signer_of(self._keys, smesher) is not None

    def answered(self, work: Work, tag: Tag, asked: object, result: Result | Sent | NotSent) -> None:
        """What was to be sent was, or not; or a nonce was checked."""
        if tag.what == CHECK_NONCE:
            self._nonce_checked(work, tag, result)
            return
        assert isinstance(asked, Publish) and asked.slot is not None, "messages are tagged so"
        publish = EpochId(asked.slot.number)
        if isinstance(result, NotSent):
            self._errands.hold(PUBLISH)
            verdict = result.verdict
            sentence = verdict.detail or f"It was not sent: {verdict.reason or verdict.judgement.value}."
            work.emit(NotPublished(self._identity, publish, sentence))
            return
        data = work.rows.get(SIGNED, asked.slot) or asked.data
        identities = tuple(own_members(work.rows, self._keys, publish, data))
        for identity in identities:
            challenge = work.rows.get(CHALLENGES, identity)
            if challenge is not None and challenge.publish_epoch <= publish:
                forget(work.rows, identity)
        work.emit(Published(self._identity, publish, _read(data, self._activation).id(), identities))

    def _nonce_checked(self, work: Work, tag: Tag, result: Result | Sent | NotSent) -> None:
        if not isinstance(result, bool):
            self._errands.hold(CHECK_NONCE)
            return
        nonce, units = tag.detail.split()
        self._nonces.known[self._identity, int(nonce), int(units)] = result


def _read(data: bytes, parameters: ActivationParameters) -> ActivationTxV1 | ActivationTxV2:
    """A signed activation."""
    version = version_of(publish_epoch_of(data), parameters.versions)
    return (ActivationTxV1.codec if version == 1 else ActivationTxV2.codec).decode(data)
