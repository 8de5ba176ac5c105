"""The rules of activations of version 1, in the order in which they are applied. Pure: what is stored is given.

Between the functions lie the checks that take long: signature, VRF nonce, proofs of space. Each raises AtxRefused.
Protocol 04-activation-beacon-eligibility, section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.contract.demands import VerifyPost, VerifyVrfNonce
from node.contract.instants import Instant
from node.store.view import View
from protocol.types.activation import ActivationTxV1, NIPostV1, PostMetadataV1, PostV1
from protocol.types.ids import EMPTY_ATX_ID, AtxId, EpochId

from . import rules
from .errors import AtxRefused
from .parameters import ActivationParameters
from .tables import POSTS, StoredAtx, StoredPost, Validity, commitment_of


@dataclass(frozen=True, slots=True)
class Proof:
    """The parts of a NIPost, all of them there."""

    nipost: NIPostV1
    post: PostV1
    metadata: PostMetadataV1


@dataclass(frozen=True, slots=True)
class Basis:
    """What an activation builds on."""

    commitment: AtxId
    vrf_nonce: int
    """The one that counts."""
    must_check_nonce: bool
    units: int
    """Effective ones."""


def proof_of(atx: ActivationTxV1) -> Proof:
    """The NIPost. The reference stops where a part of it is missing."""
    nipost = atx.inner.nipost
    if nipost is None:
        raise AtxRefused("The activation has no NIPost.", "nipost_missing")
    if nipost.post is None:
        raise AtxRefused("The NIPost has no proof of space.", "post_missing")
    if nipost.post_metadata is None:
        raise AtxRefused("The NIPost has no metadata.", "post_metadata_missing")
    return Proof(nipost, nipost.post, nipost.post_metadata)


def check_syntax(atx: ActivationTxV1, current: EpochId) -> None:
    """Rules 3 to 6 without proofs. current: the epoch that runs."""
    proof_of(atx)
    challenge = atx.inner.challenge
    rules.check_publish_epoch(atx.publish_epoch, current)
    rules.check_positioning_named(challenge.positioning_atx)
    if not atx.is_initial:
        _refuse_if(atx.inner.node_id is not None, "node id", "node_id_unexpected")
        _refuse_if(challenge.initial_post is not None, "initial proof", "initial_post_unexpected")
        _refuse_if(challenge.commitment_atx is not None, "commitment ATX", "commitment_unexpected")
        return
    _require(challenge.initial_post, "initial proof", "initial_post_missing")
    _require(atx.inner.node_id, "node id", "node_id_missing")
    _require(atx.inner.vrf_nonce, "VRF nonce", "vrf_nonce_missing")
    _require(challenge.commitment_atx, "commitment ATX", "commitment_missing")
    if challenge.commitment_atx == EMPTY_ATX_ID:
        raise AtxRefused("The commitment ATX is empty.", "commitment_empty")
    if challenge.sequence != 0:
        raise AtxRefused(f"The sequence of a first activation is {challenge.sequence}.", "sequence_not_zero")


def _refuse_if(is_there: bool, what: str, reason: str) -> None:
    if is_there:
        raise AtxRefused(f"An activation with a previous one has a {what}.", reason)


def _require(value: object, what: str, reason: str) -> None:
    if value is None:
        raise AtxRefused(f"A first activation has no {what}.", reason)


def check_labels(proof: Proof, parameters: ActivationParameters, reason: str) -> None:
    """Enough labels in a unit."""
    found = proof.metadata.labels_per_unit
    if found < parameters.labels_per_unit:
        raise AtxRefused(
            f"A unit has {found} labels, expected at least {parameters.labels_per_unit}.",
            reason,
        )


def initial_nonce(atx: ActivationTxV1, parameters: ActivationParameters) -> VerifyVrfNonce:
    """The check of the nonce of a first activation."""
    commitment, nonce = atx.inner.challenge.commitment_atx, atx.inner.vrf_nonce
    assert commitment is not None and nonce is not None, "its syntax was checked"
    return nonce_check(atx, parameters, commitment, nonce)


def nonce_check(atx: ActivationTxV1, parameters: ActivationParameters, commitment: AtxId, nonce: int) -> VerifyVrfNonce:
    """The check of a nonce."""
    proof = proof_of(atx)
    check_labels(proof, parameters, "vrf_nonce_invalid")
    return VerifyVrfNonce(atx.smesher_id, commitment, nonce, atx.inner.num_units, proof.metadata.labels_per_unit)


def initial_post(atx: ActivationTxV1) -> VerifyPost:
    """The check of the initial proof: all of its labels."""
    commitment, post = atx.inner.challenge.commitment_atx, atx.inner.challenge.initial_post
    assert commitment is not None and post is not None, "its syntax was checked"
    metadata = PostMetadataV1(rules.ZERO_CHALLENGE, proof_of(atx).metadata.labels_per_unit)
    return VerifyPost(atx.smesher_id, commitment, post, metadata, atx.inner.num_units)


def dependencies(atx: ActivationTxV1) -> tuple[bytes, list[AtxId]]:
    """What names the PoET proof, and the activations, empty ones among them."""
    challenge = atx.inner.challenge
    ids = [challenge.prev_atx, challenge.positioning_atx]
    if challenge.commitment_atx is not None:
        ids.append(challenge.commitment_atx)
    return proof_of(atx).metadata.challenge, ids


def basis(atx: ActivationTxV1, view: View, parameters: ActivationParameters) -> Basis:
    """Rules 8 to 10 without the check of the nonce."""
    challenge, inner = atx.inner.challenge, atx.inner
    if atx.is_initial:
        commitment, nonce = challenge.commitment_atx, inner.vrf_nonce
        assert commitment is not None and nonce is not None, "its syntax was checked"
        rules.check_commitment(view, parameters, commitment, atx.publish_epoch, "not_found")
        return Basis(commitment, nonce, False, inner.num_units)
    known = commitment_of(view, atx.smesher_id)
    if known is None:
        raise AtxRefused(f"The commitment ATX of {atx.smesher_id.hex()} is not known.", "commitment_unknown")
    before = rules.previous(view, challenge.prev_atx)
    if before.smesher != atx.smesher_id:
        raise AtxRefused(f"The previous ATX is of {before.smesher.hex()}.", "previous_of_other_smesher")
    rules.check_before(before, atx.publish_epoch)
    if before.sequence + 1 != challenge.sequence:
        raise AtxRefused(
            f"The sequence is {challenge.sequence}, expected {before.sequence + 1}.",
            "sequence_wrong",
        )
    post = view.get(POSTS, (challenge.prev_atx, atx.smesher_id))
    if post is None:
        raise AtxRefused("The previous ATX has no proof of the smesher.", "previous_unknown")
    return Basis(
        known,
        before.vrf_nonce if inner.vrf_nonce is None else inner.vrf_nonce,
        inner.vrf_nonce is not None or inner.num_units > before.units,
        min(post.units, inner.num_units),
    )


def check_space(atx: ActivationTxV1, view: View, parameters: ActivationParameters) -> int:
    """Rules 11 to 13: the base height."""
    challenge, units = atx.inner.challenge, atx.inner.num_units
    height = rules.base_height(view, parameters, challenge.positioning_atx, atx.publish_epoch, "not_found")
    if not parameters.min_num_units <= units <= parameters.max_num_units:
        raise AtxRefused(
            f"It has {units} units, expected {parameters.min_num_units} to {parameters.max_num_units}.",
            "num_units_out_of_range",
        )
    check_labels(proof_of(atx), parameters, "labels_per_unit_too_low")
    return height


def post_check(atx: ActivationTxV1, commitment: AtxId, positions: tuple[int, ...] | None) -> VerifyPost:
    """The check of the proof of space (rule 14). positions: those looked at; None: all."""
    proof = proof_of(atx)
    return VerifyPost(atx.smesher_id, commitment, proof.post, proof.metadata, atx.inner.num_units, positions)


def derive(
    atx: ActivationTxV1,
    built_on: Basis,
    base_height: int,
    view: View,
    parameters: ActivationParameters,
    received: Instant,
) -> tuple[StoredAtx, StoredPost]:
    """Rule 15, and the rows that follow."""
    proof, challenge = proof_of(atx), atx.inner.challenge
    membership = proof.nipost.membership
    leaves = rules.member_leaves(
        view, proof.metadata.challenge, (membership.leaf_index,), (challenge.hash(),), membership.nodes
    )
    ticks = leaves // parameters.tick_size
    stored = StoredAtx(
        smesher=atx.smesher_id,
        publish_epoch=atx.publish_epoch,
        sequence=challenge.sequence,
        coinbase=atx.inner.coinbase,
        units=built_on.units,
        commitment_atx=challenge.commitment_atx,
        vrf_nonce=built_on.vrf_nonce,
        base_height=base_height,
        ticks=ticks,
        weight=rules.weight(built_on.units, ticks),
        received=received,
        validity=Validity.VALID if parameters.is_verifying_fully else Validity.UNKNOWN,
        version=1,
    )
    return stored, StoredPost(challenge.prev_atx, 0, atx.inner.num_units, atx.publish_epoch)
