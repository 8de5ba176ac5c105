"""The rules of activations of version 2, in the order in which they are applied. Pure: what is stored is given.

Between the functions lie the checks that take long: signatures, VRF nonce, proofs of space. Each raises AtxRefused.
Protocol 04-activation-beacon-eligibility, section 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.contract.demands import VerifyPost, VerifyVrfNonce
from node.contract.instants import Instant
from node.store.view import View
from protocol.numbers.u64 import MASK
from protocol.types.activation import PostMetadataV1, PostV1
from protocol.types.activation_v2 import ActivationTxV2, NiPostsV2, SubPostV2
from protocol.types.ids import EMPTY_ATX_ID, AtxId, EpochId, Hash32, NodeId

from . import rules
from .columns import MAX_WEIGHT
from .errors import AtxRefused
from .marriages import equivocation_set
from .parameters import ActivationParameters
from .tables import POSTS, StoredAtx, StoredPost, Validity, commitment_of


@dataclass(frozen=True, slots=True)
class Part:
    """The proof of one identity."""

    identity: NodeId
    commitment: AtxId
    challenge: Hash32
    post: PostV1
    units: int
    row: StoredPost


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows from an activation and what it builds on, before its proofs of space are checked."""

    parts: tuple[Part, ...]
    base_height: int
    units: int
    """Effective ones."""
    ticks: int
    weight: int

    @property
    def posts(self) -> dict[NodeId, StoredPost]:
        """The rows of the proofs."""
        return {part.identity: part.row for part in self.parts}


def check_syntax(atx: ActivationTxV2, parameters: ActivationParameters, current: EpochId) -> None:
    """Rules 3 to 9 without proofs. current: the epoch that runs."""
    rules.check_positioning_named(atx.positioning_atx)
    if atx.marriages and all(one.reference_atx != EMPTY_ATX_ID for one in atx.marriages):
        raise AtxRefused("No certificate is of the publisher itself.", "no_self_marriage")
    rules.check_publish_epoch(atx.publish_epoch, current)
    if atx.marriage_atx is None:
        _check_solo(atx.niposts)
    if atx.initial is not None:
        _check_initial(atx, atx.initial.commitment_atx)
        return
    for position, previous in enumerate(atx.previous_atxs):
        if previous == EMPTY_ATX_ID:
            raise AtxRefused(f"Previous ATX {position} is empty.", "previous_empty")
        if previous == parameters.golden_atx:
            raise AtxRefused(f"Previous ATX {position} is the golden one.", "previous_golden")
    if atx.marriage_atx is None:
        if len(atx.previous_atxs) != 1:
            raise AtxRefused(f"There are {len(atx.previous_atxs)} previous ATXs, expected 1.", "solo_not_one_previous")
        return
    if atx.marriages:
        raise AtxRefused("An activation that merges identities marries none.", "merged_with_marriages")
    indices = [post.marriage_index for nipost in atx.niposts for post in nipost.posts]
    if len(set(indices)) != len(indices):
        raise AtxRefused("Two proofs are of one identity.", "marriage_index_twice")


def _check_solo(niposts: Sequence[NiPostsV2]) -> None:
    if len(niposts) != 1:
        raise AtxRefused(f"There are {len(niposts)} NIPosts, expected 1.", "solo_not_one_nipost")
    posts = niposts[0].posts
    if len(posts) != 1:
        raise AtxRefused(f"There are {len(posts)} proofs of space, expected 1.", "solo_not_one_post")
    if posts[0].prev_atx_index != 0:
        raise AtxRefused(f"The index of the previous ATX is {posts[0].prev_atx_index}.", "solo_prev_index_not_zero")


def _check_initial(atx: ActivationTxV2, commitment: AtxId) -> None:
    if atx.marriage_atx is not None:
        raise AtxRefused("A first activation merges identities.", "initial_with_marriage_atx")
    if commitment == EMPTY_ATX_ID:
        raise AtxRefused("The commitment ATX is empty.", "commitment_empty")
    if atx.previous_atxs:
        raise AtxRefused("A first activation has a previous one.", "initial_with_previous")


def initial_nonce(atx: ActivationTxV2, parameters: ActivationParameters) -> VerifyVrfNonce:
    """The check of the nonce of a first activation."""
    assert atx.initial is not None, "it is a first one"
    units = atx.niposts[0].posts[0].num_units
    commitment = atx.initial.commitment_atx
    return VerifyVrfNonce(atx.smesher_id, commitment, atx.vrf_nonce, units, parameters.labels_per_unit)


def initial_post(atx: ActivationTxV2, parameters: ActivationParameters) -> VerifyPost:
    """The check of the initial proof: all of its labels."""
    assert atx.initial is not None, "it is a first one"
    metadata = PostMetadataV1(rules.ZERO_CHALLENGE, parameters.labels_per_unit)
    units = atx.niposts[0].posts[0].num_units
    return VerifyPost(atx.smesher_id, atx.initial.commitment_atx, atx.initial.post, metadata, units)


def dependencies(atx: ActivationTxV2) -> tuple[list[bytes], list[AtxId]]:
    """What names the PoET proofs, and the activations, empty ones among them."""
    ids = [atx.positioning_atx, *atx.previous_atxs]
    if atx.initial is not None:
        ids.append(atx.initial.commitment_atx)
    if atx.marriage_atx is not None:
        ids.append(atx.marriage_atx)
    ids += [certificate.reference_atx for certificate in atx.marriages]
    return [nipost.challenge for nipost in atx.niposts], ids


def base_height(atx: ActivationTxV2, view: View, parameters: ActivationParameters) -> int:
    """Rule 11."""
    return rules.base_height(view, parameters, atx.positioning_atx, atx.publish_epoch, "positioning_unknown")


def plan(atx: ActivationTxV2, view: View, parameters: ActivationParameters) -> Plan:
    """Rules 11 and 13 to 18, and that the signer's proof is there (20). Marriages are checked before."""
    height = base_height(atx, view, parameters)
    if atx.initial is not None:
        rules.check_commitment(view, parameters, atx.initial.commitment_atx, atx.publish_epoch, "commitment_unknown")
    for previous in atx.previous_atxs:
        rules.check_before(rules.previous(view, previous), atx.publish_epoch)
    identities = equivocation_set(atx, view)
    effective = [_units(atx, nipost, identities, view) for nipost in atx.niposts]
    ticks = [_leaves(atx, nipost, view) // parameters.tick_size for nipost in atx.niposts]
    if sum(effective) > rules.MAX_U32:
        raise AtxRefused(f"It has {sum(effective)} units, which is 2^32 or more.", "units_overflow")
    weights = [rules.weight(units, count) for units, count in zip(effective, ticks)]
    weight = sum(weights) & MASK
    if weight > MAX_WEIGHT:
        raise AtxRefused(f"The weight is {weight}, which is 2^63 or more.", "weight_overflow")
    parts = tuple(
        _part(atx, nipost, post, identities[post.marriage_index], view)
        for nipost in atx.niposts
        for post in nipost.posts
    )
    if all(part.identity != atx.smesher_id for part in parts):
        raise AtxRefused("No proof is of the signer.", "signer_not_included")
    return Plan(parts, height, sum(effective), min(ticks), weight)


def _units(atx: ActivationTxV2, nipost: NiPostsV2, identities: Sequence[NodeId], view: View) -> int:
    """The effective units of one NIPost. What would need more than 32 bits is left out, as the network does."""
    total = 0
    for post in nipost.posts:
        if post.marriage_index >= len(identities):
            raise AtxRefused(
                f"The marriage index is {post.marriage_index}, the set has {len(identities)} identities.",
                "marriage_index_out_of_bounds",
            )
        units = _effective(atx, post, identities[post.marriage_index], view)
        if total + units <= rules.MAX_U32:
            total += units
    return total


def _effective(atx: ActivationTxV2, post: SubPostV2, identity: NodeId, view: View) -> int:
    if atx.initial is not None:
        return post.num_units
    if post.prev_atx_index >= len(atx.previous_atxs):
        raise AtxRefused(
            f"The index of the previous ATX is {post.prev_atx_index}, there are {len(atx.previous_atxs)}.",
            "prev_index_out_of_bounds",
        )
    previous = atx.previous_atxs[post.prev_atx_index]
    row = view.get(POSTS, (previous, identity))
    if row is None:
        raise AtxRefused(
            f"The previous ATX {previous.hex()} has no proof of {identity.hex()}.", "previous_has_no_post_of_id"
        )
    return min(row.units, post.num_units)


def _leaves(atx: ActivationTxV2, nipost: NiPostsV2, view: View) -> int:
    """The leaves of the PoET proof in whose round all plans were registered. A leaf has the plan of its first proof."""
    members: dict[int, bytes] = {}
    for post in nipost.posts:
        if post.membership_leaf_index not in members:
            members[post.membership_leaf_index] = atx.challenge_of(post).hash()
    indices = sorted(members)
    nodes = nipost.membership.nodes
    return rules.member_leaves(view, nipost.challenge, indices, [members[index] for index in indices], nodes)


def _part(atx: ActivationTxV2, nipost: NiPostsV2, post: SubPostV2, identity: NodeId, view: View) -> Part:
    if atx.initial is not None:
        commitment: AtxId | None = atx.initial.commitment_atx
        previous = EMPTY_ATX_ID
    else:
        commitment = commitment_of(view, identity)
        previous = atx.previous_atxs[post.prev_atx_index]
    if commitment is None:
        raise AtxRefused(f"The commitment ATX of {identity.hex()} is not known.", "commitment_unknown")
    row = StoredPost(previous, post.prev_atx_index, post.num_units, atx.publish_epoch)
    return Part(identity, commitment, nipost.challenge, post.post, post.num_units, row)


def post_check(part: Part, parameters: ActivationParameters, positions: tuple[int, ...] | None) -> VerifyPost:
    """The check of one proof of space (rule 19). positions: those looked at; None: all."""
    metadata = PostMetadataV1(part.challenge, parameters.labels_per_unit)
    return VerifyPost(part.identity, part.commitment, part.post, metadata, part.units, positions)


def nonce_check(atx: ActivationTxV2, plan: Plan, parameters: ActivationParameters) -> VerifyVrfNonce:
    """The check of the nonce of an activation that is no first one (rule 20)."""
    (commitment,) = [part.commitment for part in plan.parts if part.identity == atx.smesher_id]
    return VerifyVrfNonce(atx.smesher_id, commitment, atx.vrf_nonce, atx.total_num_units(), parameters.labels_per_unit)


def derive(atx: ActivationTxV2, plan: Plan, parameters: ActivationParameters, received: Instant) -> StoredAtx:
    """The row that follows."""
    return StoredAtx(
        smesher=atx.smesher_id,
        publish_epoch=atx.publish_epoch,
        sequence=0,
        coinbase=atx.coinbase,
        units=plan.units,
        commitment_atx=None if atx.initial is None else atx.initial.commitment_atx,
        vrf_nonce=atx.vrf_nonce,
        base_height=plan.base_height,
        ticks=plan.ticks,
        weight=plan.weight,
        received=received,
        validity=Validity.VALID if parameters.is_verifying_fully else Validity.UNKNOWN,
        version=2,
        marriage_atx=atx.marriage_atx,
    )
