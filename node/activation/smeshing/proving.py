"""The proof of space over the proof of a round: made by the prover of the identity, verified before it is published.

| the prover | then |
|---|---|
| is not there, or went away | asked again after a short while |
| fails otherwise | asked again in the next layer |
| gives a proof | kept at once, since it took hours; verified, whole |
| gave one that does not hold | it goes, its owner is told, and it is made again in the next layer |

Of a first activation the registered initial proof is checked before, over the space as it is now.
Protocol 04-activation-beacon-eligibility, section 3.2.
"""

from __future__ import annotations

from dataclasses import replace

from node.activation.rules import ZERO_CHALLENGE
from node.activation.tables import commitment_of
from node.contract.demands import (
    DescribePost,
    Failed,
    HeldSpace,
    PostVerdict,
    ProvenPost,
    ProvePost,
    Result,
    VerifyPost,
)
from protocol.types.activation import PostMetadataV1
from protocol.types.ids import NodeId

from .events import PostState, ProofNotMade
from .tables import MEMBERSHIPS, NIPOSTS, Challenge, Membership, Nipost
from .times import Timeline
from .work import Errands, State, Tag, Work

NOT_CONNECTED = "not_connected"
DESCRIBE, CHECK_INITIAL, PROVE, VERIFY = "describe", "check initial", "prove", "verify"
TELL_EVERY = 10
"""Of the attempts at a prover that is not there, the owner is told of every tenth."""


class Proving:
    """Of one identity."""

    def __init__(self, identity: NodeId, timeline: Timeline, labels_per_unit: int, errands: Errands) -> None:
        self._identity = identity
        self._timeline = timeline
        self._labels = labels_per_unit
        self._errands = errands
        self._is_told = False
        self._is_initial_checked = False
        self._attempts = 0

    def reset(self) -> None:
        """Another challenge is next."""
        self._is_told = self._is_initial_checked = False
        self._attempts = 0

    # ---- making it ----

    def advance(self, work: Work, challenge: Challenge, membership: Membership) -> State:
        """Ask for what is missing; EXPIRED when the epoch is over."""
        if work.now > self._timeline.publication_end(challenge.publish_epoch):
            return State.EXPIRED
        if not self._is_told:
            self._is_told = True
            work.emit(PostState(self._identity, True, membership.ref))
        if challenge.initial_post is not None and not self._is_initial_checked:
            if not self._errands.is_open(CHECK_INITIAL):
                self._errands.ask(work, DescribePost(self._identity), DESCRIBE)
            return State.WAITS
        self._errands.ask(work, ProvePost(self._identity, membership.ref), PROVE)
        return State.WAITS

    def answered(self, work: Work, challenge: Challenge, tag: Tag, result: Result) -> State:
        """What was asked for is here; INITIAL_INVALID where that is what it says, else WAITS."""
        match tag.what:
            case "describe":
                self._described(work, challenge, tag, result)
            case "check initial":
                return self._initial_checked(work, result)
            case "prove":
                self._proven(work, tag, result)
            case "verify":
                self._verified(work, result)
        return State.WAITS

    def _described(self, work: Work, challenge: Challenge, tag: Tag, result: Result) -> None:
        if not isinstance(result, HeldSpace):
            self._not_there(work, tag, result)
            return
        assert challenge.initial_post is not None, "only then it is asked for"
        metadata = PostMetadataV1(ZERO_CHALLENGE, self._labels)
        check = VerifyPost(
            self._identity,
            result.commitment_atx,
            challenge.initial_post,
            metadata,
            result.num_units,
            is_urgent=True,
        )
        self._errands.ask(work, check, CHECK_INITIAL)

    def _initial_checked(self, work: Work, result: Result) -> State:
        if not isinstance(result, PostVerdict):
            self._errands.hold(DESCRIBE)
            work.emit(ProofNotMade(self._identity, f"Its initial proof could not be checked: {why(result)}."))
            return State.WAITS
        self._is_initial_checked = result.is_valid
        return State.WAITS if result.is_valid else State.INITIAL_INVALID

    def _proven(self, work: Work, tag: Tag, result: Result) -> None:
        if not isinstance(result, ProvenPost):
            self._not_there(work, tag, result)
            return
        membership = work.rows.get(MEMBERSHIPS, self._identity)
        if membership is None or result.metadata.challenge != membership.ref:
            self._errands.hold(PROVE)
            work.emit(ProofNotMade(self._identity, "The prover gave a proof for another challenge; it is asked again."))
            return
        nipost = Nipost(
            result.post,
            result.num_units,
            result.metadata.labels_per_unit,
            result.commitment_atx,
            result.vrf_nonce,
            False,
        )
        if not work.put(NIPOSTS, self._identity, nipost):
            self._errands.hold(PROVE)
            work.emit(ProofNotMade(self._identity, "The prover gave a proof that cannot be one; it is asked again."))
            return
        work.emit(PostState(self._identity, False, membership.ref))

    def _not_there(self, work: Work, tag: Tag, result: Result) -> None:
        """The prover did not do what it was asked for."""
        if isinstance(result, Failed) and result.reason == NOT_CONNECTED:
            self._attempts += 1
            self._errands.retry(work, tag, self._timeline.parameters.prover_retry)
            if self._attempts % TELL_EVERY == 1:
                work.emit(ProofNotMade(self._identity, "Its prover is not connected; it is waited for."))
            return
        self._errands.hold(tag.what)
        work.emit(ProofNotMade(self._identity, f"Its prover failed: {why(result)}; it is asked again."))

    # ---- verifying it ----

    def verify(self, work: Work, challenge: Challenge, nipost: Nipost) -> State:
        """READY when the proof of space is known to hold."""
        if nipost.is_verified:
            return State.READY
        membership = work.rows.get(MEMBERSHIPS, self._identity)
        assert membership is not None, "the proof was made over it"
        commitment = challenge.commitment_atx or commitment_of(work.rows, self._identity) or nipost.commitment_atx
        metadata = PostMetadataV1(membership.ref, nipost.labels_per_unit)
        check = VerifyPost(self._identity, commitment, nipost.post, metadata, nipost.num_units, is_urgent=True)
        self._errands.ask(work, check, VERIFY)
        return State.WAITS

    def _verified(self, work: Work, result: Result) -> None:
        nipost = work.rows.get(NIPOSTS, self._identity)
        assert nipost is not None, "it is being verified"
        if not isinstance(result, PostVerdict):
            self._errands.hold(VERIFY)
            work.emit(ProofNotMade(self._identity, f"Its proof of space could not be verified: {why(result)}."))
            return
        if result.is_valid:
            work.rows.put(NIPOSTS, self._identity, replace(nipost, is_verified=True))
            return
        work.rows.delete(NIPOSTS, self._identity)
        self._errands.hold(PROVE)
        self._is_told = False
        label = "" if result.wrong_position is None else f", its index {result.wrong_position} is wrong"
        work.emit(
            ProofNotMade(
                self._identity,
                f"Its proof of space does not hold{label} ({result.reason or 'refused'}); it was not published and is "
                "made again. If that happens again, check the data with `smesher verify`.",
            )
        )


def why(result: Result) -> str:
    """Why something was not done, for a sentence."""
    if isinstance(result, Failed):
        return f"{result.reason}, {result.detail}" if result.detail else result.reason
    return type(result).__name__
