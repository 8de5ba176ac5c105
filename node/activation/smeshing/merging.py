"""Which own identities publish one activation together: those of one marriage that are ready, from version 2 on.

| the identities of a marriage that plan for the epoch, with one positioning activation | then |
|---|---|
| are all ready, or the next challenge is about to be made | the first whose VRF nonce does for all publishes |
| are fewer than two, or no nonce does | each publishes for itself |
| come later | each for itself: a marriage is merged once an epoch |

Protocol 04-activation-beacon-eligibility, section 5.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.activation.marriages import MERGED_EPOCHS_AFTER, members
from node.activation.parameters import ActivationParameters
from node.activation.rules import MAX_U32
from node.activation.tables import ATXS, MARRIAGES, POSTS, commitment_of, merged
from node.contract.demands import VerifyVrfNonce
from node.contract.ports import Keys
from node.store.own import SIGNED, Kind, Slot
from node.store.view import View
from protocol.types.activation_v2 import MAX_NIPOSTS, MAX_POSTS
from protocol.types.ids import AtxId, EpochId, NodeId

from .build import Part
from .space import last_of
from .tables import CHALLENGES, MEMBERSHIPS, NIPOSTS, Challenge


@dataclass(frozen=True, slots=True)
class Marriage:
    """A marriage of which several identities are ours."""

    atx: AtxId
    identities: tuple[NodeId, ...]
    """All, in the order that their indices mean."""
    own: tuple[NodeId, ...]
    """Ours, in the same order."""


@dataclass(frozen=True, slots=True)
class Merger:
    """What may be published together."""

    marriage: Marriage
    parts: tuple[Part, ...]
    is_complete: bool
    """Whether nobody else is to be waited for."""

    @property
    def units(self) -> int:
        """Space units of all parts, as the check of the nonce takes them."""
        return sum(part.nipost.num_units for part in self.parts)


def marriage_of(view: View, keys: Keys, identity: NodeId, publish: EpochId) -> Marriage | None:
    """The marriage with which an identity may be merged in an epoch; None where it has none, or it is too recent."""
    row = view.get(MARRIAGES, identity)
    marriage = None if row is None else view.get(ATXS, row.atx)
    if row is None or marriage is None or marriage.publish_epoch + MERGED_EPOCHS_AFTER > publish:
        return None
    identities = tuple(members(view, row.set))
    ours = {signer.identity for signer in keys.signers()}
    own = tuple(one for one in identities if one in ours)
    return Marriage(row.atx, identities, own) if len(own) > 1 else None


def common_previous(view: View, marriage: Marriage) -> AtxId | None:
    """The highest of the last activations of our identities: the one that all of them may build on."""
    last = [id for id in (last_of(view, identity) for identity in marriage.own) if id is not None]
    heights = {id: stored.height for id in last if (stored := view.get(ATXS, id)) is not None}
    return max(heights, key=lambda id: (heights[id], id), default=None)


def part_of(view: View, identity: NodeId) -> Part | None:
    """What an identity contributes; None where its proof of space is not verified yet."""
    challenge, membership = view.get(CHALLENGES, identity), view.get(MEMBERSHIPS, identity)
    nipost = view.get(NIPOSTS, identity)
    if challenge is None or membership is None or nipost is None or not nipost.is_verified:
        return None
    return Part(identity, challenge, membership, nipost)


def merger_of(view: View, marriage: Marriage, plan: Challenge) -> Merger | None:
    """What can be merged with an identity's plan; None where that was done already, or nobody else has such a plan."""
    if merged(view, marriage.atx, plan.publish_epoch):
        return None
    parts: list[Part] = []
    is_complete = True
    for identity in marriage.own:
        challenge = view.get(CHALLENGES, identity)
        if challenge is None or not _fits(view, identity, challenge, plan):
            continue
        part = part_of(view, identity)
        if part is None:
            is_complete = False
            continue
        if _has_room(parts, part):
            parts.append(part)
    return Merger(marriage, tuple(parts), is_complete)


def _has_room(parts: Sequence[Part], part: Part) -> bool:
    """Whether one more fits into an activation; who does not, publishes for itself."""
    rounds = {one.membership.ref for one in (*parts, part)}
    units = sum(one.nipost.num_units for one in (*parts, part))
    return len(rounds) <= MAX_NIPOSTS and len(parts) < MAX_POSTS and units <= MAX_U32


def _fits(view: View, identity: NodeId, challenge: Challenge, plan: Challenge) -> bool:
    is_same = (challenge.publish_epoch, challenge.positioning_atx) == (plan.publish_epoch, plan.positioning_atx)
    if not is_same or challenge.version == 1 or challenge.is_initial:
        return False
    is_signed = view.has(SIGNED, Slot(identity, Kind.ATX, plan.publish_epoch))
    return not is_signed and view.has(POSTS, (challenge.prev_atx, identity))


def nonce_check(
    view: View, identity: NodeId, nonce: int, units: int, parameters: ActivationParameters
) -> VerifyVrfNonce | None:
    """Whether an identity's nonce does for the space of all; None where its commitment is not known."""
    commitment = commitment_of(view, identity)
    if commitment is None:
        return None
    return VerifyVrfNonce(identity, commitment, nonce, units, parameters.labels_per_unit)


def own_members(view: View, keys: Keys, publish: EpochId, data: bytes) -> Sequence[NodeId]:
    """Our identities for which a signed activation stands."""
    return [
        signer.identity
        for signer in keys.signers()
        if view.get(SIGNED, Slot(signer.identity, Kind.ATX, publish)) == data
    ]
