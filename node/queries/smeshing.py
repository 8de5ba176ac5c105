"""How far an own identity is on its way to the next activation, by the rows and the time alone.

What a machine of smeshing does follows from its rows (`node.activation.smeshing.smesher` has the table); so does what
is told of it. Specified in protocol 04-activation-beacon-eligibility, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from node.activation.smeshing.planning import signed_and_unknown
from node.activation.smeshing.space import last_of
from node.activation.smeshing.tables import (
    CHALLENGES,
    INITIAL_POSTS,
    MEMBERSHIPS,
    NIPOSTS,
    Challenge,
    Registration,
    registrations,
)
from node.activation.smeshing.times import Timeline
from node.activation.tables import ATXS, proved
from node.contract.instants import Instant
from node.store.own import SIGNED, Kind
from node.store.view import Span, View
from protocol.types.ids import EpochId, LayerId, NodeId, ProposalId
from protocol.types.proposals import Proposal

from .activations import KnownAtx, find


class Phase(Enum):
    """What an identity is at."""

    SENDING = "sending"
    """An activation was signed that is not stored: it is sent again."""
    FIRST_PROOF = "first proof"
    """The first proof of space is made, or checked."""
    SYNCING = "syncing"
    """Not all activations of the past are here."""
    WAITING_FOR_REGISTRATION = "waiting for registration"
    POSITIONING = "positioning"
    """An activation is looked for to build upon."""
    REGISTERING = "registering"
    IN_ROUND = "in round"
    WAITING_FOR_ROUND_PROOF = "waiting for round proof"
    PROVING = "proving"
    VERIFYING = "verifying"
    READY = "ready"
    """The epoch of publication has not begun."""
    PUBLISHING = "publishing"


class MomentKind(Enum):
    """The moments of an activation."""

    CHALLENGE = "challenge"
    POSITIONING_END = "positioning end"
    ROUND_START = "round start"
    ROUND_END = "round end"
    ROUND_PROOF_END = "round proof end"
    PUBLICATION = "publication"
    PUBLICATION_END = "publication end"


@dataclass(frozen=True, slots=True)
class Moment:
    """When something of an activation is due."""

    kind: MomentKind
    at: Instant


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an identity is."""

    phase: Phase
    publish_epoch: EpochId | None
    """Of the activation in the making; None while the first proof of space is made."""
    registrations: Mapping[str, Registration]
    """By the address of the server."""


def progress(view: View, timeline: Timeline, identity: NodeId, now: Instant, *, is_synced: bool) -> Progress:
    """How far an own identity is. is_synced: whether all activations of the past are here. Raises StoreFault."""
    unknown = signed_and_unknown(view, identity)
    if unknown is not None:
        return Progress(Phase.SENDING, unknown[0], {})
    challenge = view.get(CHALLENGES, identity)
    if challenge is not None:
        found = registrations(view, identity, challenge.hash())
        phase = _pursued(view, timeline, identity, challenge, now, is_registered=bool(found))
        return Progress(phase, challenge.publish_epoch, found)
    last = last_of(view, identity)
    initial = view.get(INITIAL_POSTS, identity)
    if last is None and (initial is None or not initial.is_verified):
        return Progress(Phase.FIRST_PROOF, None, {})
    known = None if last is None else view.get(ATXS, last)
    publish = timeline.next_publish_epoch(now, None if known is None else known.publish_epoch)
    if not is_synced:
        return Progress(Phase.SYNCING, publish, {})
    is_due = now >= timeline.building(publish)
    return Progress(Phase.POSITIONING if is_due else Phase.WAITING_FOR_REGISTRATION, publish, {})


def _pursued(
    view: View, timeline: Timeline, identity: NodeId, challenge: Challenge, now: Instant, *, is_registered: bool
) -> Phase:
    nipost = view.get(NIPOSTS, identity)
    if nipost is not None:
        if not nipost.is_verified:
            return Phase.VERIFYING
        return Phase.READY if now < timeline.publication(challenge.publish_epoch) else Phase.PUBLISHING
    if view.has(MEMBERSHIPS, identity):
        return Phase.PROVING
    if now < timeline.round_start(challenge.publish_epoch) or not is_registered:
        return Phase.REGISTERING
    return Phase.IN_ROUND if now < timeline.round_end(challenge.publish_epoch) else Phase.WAITING_FOR_ROUND_PROOF


def moments(timeline: Timeline, publish: EpochId) -> Sequence[Moment]:
    """The moments of an activation as they follow each other, by its publish epoch. A round may end after the epoch of
    publication has begun."""
    found = (
        Moment(kind, when(publish))
        for kind, when in (
            (MomentKind.CHALLENGE, timeline.building),
            (MomentKind.POSITIONING_END, timeline.search_end),
            (MomentKind.ROUND_START, timeline.round_start),
            (MomentKind.ROUND_END, timeline.round_end),
            (MomentKind.ROUND_PROOF_END, timeline.proof_deadline),
            (MomentKind.PUBLICATION, timeline.publication),
            (MomentKind.PUBLICATION_END, timeline.publication_end),
        )
    )
    return sorted(found, key=lambda moment: moment.at)


def activations_of(view: View, identity: NodeId, epoch: EpochId) -> Iterator[KnownAtx]:
    """The activations of an epoch that hold a proof of an identity, whoever published them. Raises StoreFault."""
    for id in proved(view, identity, epoch):
        known = find(view, id)
        if known is not None:
            yield known


def proposals(view: View, identity: NodeId, first: LayerId, last: LayerId) -> dict[LayerId, ProposalId]:
    """What an own identity has proposed in the layers of a range. Raises StoreFault."""
    within = (identity, Kind.PROPOSAL)
    signed = view.scan(SIGNED, Span(within=within, start=(*within, first), last=(*within, last)))
    return {LayerId(slot.number): Proposal.codec.decode(data).id() for slot, data in signed}
