"""What comes before a challenge: the initial proof of an identity, then the plan of its next activation.

| by the rows | waits for | then |
|---|---|---|
| no activation, no initial proof | the prover, over a challenge of zeros | the proof is kept at once |
| a new initial proof | its check | one that does not hold goes, and is made again |
| one of them | all activations of the past; shortly before the next round | |
| no activation | the initial proof checked once more | the same |
| an activation, or that proof | the search for a positioning activation | the challenge is kept |

Protocol 04-activation-beacon-eligibility, sections 3.1 and 3.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from node.activation.parameters import ActivationParameters
from node.activation.rules import ZERO_CHALLENGE
from node.activation.tables import ATXS
from node.contract.demands import (
    Certified,
    CertifyAtPoet,
    Failed,
    PostVerdict,
    ProvenPost,
    ProvePost,
    Result,
    VerifyPost,
)
from node.contract.ports import Keys
from node.store.own import SIGNED, Kind, Slot
from node.store.view import Span, View
from protocol.types.activation import PostMetadataV1, version_of
from protocol.types.ids import EMPTY_ATX_ID, AtxId, EpochId, NodeId

from .certificates import certificates, keep_certificate
from .events import ChallengeMade, PostState, ProofNotMade, WaitsForRegistration
from .merging import common_previous, marriage_of
from .positioning import chosen
from .proving import NOT_CONNECTED, why
from .space import last_of, space_proof
from .tables import CHALLENGES, INITIAL_POSTS, Challenge, InitialPost
from .times import Timeline
from .work import Errands, Tag, Work

INITIAL, CHECK, CERTIFY = "initial", "check", "certify"

FindPositioning = Callable[[Work, EpochId], AtxId | None]
"""The highest activation that holds, for a publish epoch; None while it is being looked for."""


class Planning:
    """Of one identity. Mutable; what it remembers may be forgotten."""

    def __init__(
        self,
        identity: NodeId,
        timeline: Timeline,
        activation: ActivationParameters,
        errands: Errands,
        keys: Keys,
        is_synced: Callable[[], bool],
        find: FindPositioning,
    ) -> None:
        self._identity = identity
        self._keys = keys
        self._timeline = timeline
        self._activation = activation
        self._errands = errands
        self._is_synced = is_synced
        self._find = find
        self._checked_for: EpochId | None = None
        """The epoch for which the stored initial proof was checked."""
        self._told: EpochId | None = None
        self._is_proving_told = False
        self._certified: set[str] = set()
        """Servers for which a certificate was asked for."""

    def advance(self, work: Work) -> None:
        """Do what is due, while there is no challenge."""
        previous = last_of(work.rows, self._identity)
        initial = work.rows.get(INITIAL_POSTS, self._identity)
        if previous is None and initial is None:
            is_asked = self._errands.ask(work, ProvePost(self._identity, ZERO_CHALLENGE), INITIAL)
            if is_asked and not self._is_proving_told:
                self._is_proving_told = True
                work.emit(PostState(self._identity, True, ZERO_CHALLENGE))
            return
        if previous is None and initial is not None and not initial.is_verified:
            self._check(work, initial)
            return
        self._certify(work)
        if not self._is_synced():
            return  # what others know of the identity is not all here
        known = None if previous is None else work.rows.get(ATXS, previous)
        publish = self._timeline.next_publish_epoch(work.now, None if known is None else known.publish_epoch)
        start = self._timeline.building(publish)
        if work.now < start:
            if self._told != publish:
                self._told = publish
                work.emit(WaitsForRegistration(self._identity, publish, start))
            self._errands.wake_at(start)
            return
        if previous is None and initial is not None and self._checked_for != publish:
            self._check(work, initial)
            return
        candidate = self._find(work, publish)
        if candidate is not None:
            self._plan(work, publish, candidate, previous, initial)

    def _plan(
        self, work: Work, publish: EpochId, candidate: AtxId, previous: AtxId | None, initial: InitialPost | None
    ) -> None:
        version = version_of(publish, self._activation.versions)
        own = self._own_basis(work.rows, publish, version, previous)
        positioning = chosen(work.rows, self._activation.golden_atx, candidate, own)
        if previous is None:
            assert initial is not None, "it was checked"
            challenge = Challenge(publish, version, 0, EMPTY_ATX_ID, positioning, initial.commitment_atx, initial.post)
        else:
            before = work.rows.get(ATXS, previous)
            assert before is not None, "its proof is stored with it"
            challenge = Challenge(publish, version, before.sequence + 1, previous, positioning)
        work.rows.put(CHALLENGES, self._identity, challenge)
        work.emit(ChallengeMade(self._identity, publish, positioning))

    def _own_basis(self, view: View, publish: EpochId, version: int, previous: AtxId | None) -> AtxId | None:
        """The own activation to build on: the last one; of identities that are to be merged, the highest of theirs."""
        marriage = None
        if self._timeline.parameters.is_merging and version == 2:
            marriage = marriage_of(view, self._keys, self._identity, publish)
        return previous if marriage is None else common_previous(view, marriage)

    # ---- the initial proof ----

    def _check(self, work: Work, initial: InitialPost) -> None:
        metadata = PostMetadataV1(ZERO_CHALLENGE, initial.labels_per_unit)
        check = VerifyPost(
            self._identity, initial.commitment_atx, initial.post, metadata, initial.num_units, is_urgent=True
        )
        self._errands.ask(work, check, CHECK)

    def answered(self, work: Work, tag: Tag, result: Result) -> bool:
        """What was asked for is here; whether it was asked for by this."""
        match tag.what:
            case "initial":
                self._made(work, tag, result)
            case "check":
                self._checked(work, result)
            case "certify":
                if isinstance(result, Certified):
                    keep_certificate(work, self._identity, result)
            case _:
                return False
        return True

    def _made(self, work: Work, tag: Tag, result: Result) -> None:
        if isinstance(result, Failed) and result.reason == NOT_CONNECTED:
            self._errands.retry(work, tag, self._timeline.parameters.prover_retry)
        elif not isinstance(result, ProvenPost):
            self._again(work, f"Its initial proof was not made: {why(result)}; the prover is asked again.")
        elif result.vrf_nonce is None:
            self._again(work, "Its prover gave an initial proof without a VRF nonce; it is asked again.")
        elif result.metadata.challenge != ZERO_CHALLENGE:
            self._again(work, "The prover gave a proof for another challenge; it is asked again.")
        else:
            labels = result.metadata.labels_per_unit
            row = InitialPost(result.post, result.num_units, result.commitment_atx, labels, result.vrf_nonce, False)
            if not work.put(INITIAL_POSTS, self._identity, row):
                self._again(work, "Its prover gave an initial proof that cannot be one; it is asked again.")
                return
            self._is_proving_told = False
            work.emit(PostState(self._identity, False, ZERO_CHALLENGE))

    def _again(self, work: Work, sentence: str) -> None:
        self._errands.hold(INITIAL)
        self._is_proving_told = False
        work.emit(ProofNotMade(self._identity, sentence))

    def _checked(self, work: Work, result: Result) -> None:
        initial = work.rows.get(INITIAL_POSTS, self._identity)
        if initial is None:
            return
        if not isinstance(result, PostVerdict):
            self._errands.hold(CHECK)
            work.emit(ProofNotMade(self._identity, f"Its initial proof could not be checked: {why(result)}."))
        elif not result.is_valid:
            work.rows.delete(INITIAL_POSTS, self._identity)
            self._again(work, f"Its initial proof does not hold ({result.reason or 'refused'}); it is made again.")
        elif initial.is_verified:
            self._checked_for = self._timeline.next_publish_epoch(work.now, None)
        else:
            work.rows.put(INITIAL_POSTS, self._identity, replace(initial, is_verified=True))

    # ---- certificates ----

    def _certify(self, work: Work) -> None:
        """Have a certificate for every server, once after a start: at registration it is late for that."""
        for server in self._timeline.parameters.servers:
            if server in self._certified:
                continue
            space = space_proof(work.rows, self._identity, self._activation.labels_per_unit)
            if space is None:
                return
            self._certified.add(server)
            demand = CertifyAtPoet(server, self._identity, space, certificates(work.rows, self._identity))
            self._errands.ask(work, demand, CERTIFY, server)


def signed_for(view: View, identity: NodeId, publish: EpochId) -> bytes | None:
    """What an identity has signed for an epoch."""
    return view.get(SIGNED, Slot(identity, Kind.ATX, publish))


def signed_and_unknown(view: View, identity: NodeId) -> tuple[EpochId, bytes] | None:
    """The newest activation that an identity has signed, where none of it of that epoch or a later one is stored."""
    newest = view.first(SIGNED, Span(within=(identity, Kind.ATX), reverse=True))
    if newest is None:
        return None
    slot, data = newest
    last = last_of(view, identity)
    stored = None if last is None else view.get(ATXS, last)
    if stored is not None and stored.publish_epoch >= slot.number:
        return None
    return EpochId(slot.number), data
