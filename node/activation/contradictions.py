"""What an activation shows of an identity beside others of it: proofs of version 1, and findings of version 2.

Protocol 04-activation-beacon-eligibility, section 4.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from node.malfeasance.verdicts import marriage_proof
from node.store.view import View
from protocol.types.activation import ActivationTxV1, ATXMetadata
from protocol.types.activation_v2 import ActivationTxV2
from protocol.types.ids import EMPTY_ATX_ID, AtxId, Hash32, LayerId, NodeId
from protocol.types.malfeasance import (
    AtxProof,
    AtxProofMsg,
    InvalidPostIndexProof,
    InvalidPrevATXProof,
    MalfeasanceProof,
    ProofDoubleMarry,
)

from .errors import AtxIgnored
from .tables import ATXS, BLOBS, MARRIAGES, StoredPost, merged, newest_before, proved, published, with_previous

# ---- version 1 ----


def find_v1(
    atx: ActivationTxV1, id: AtxId, view: View, first_layer: LayerId, *, is_own: bool
) -> MalfeasanceProof | None:
    """The proof that an activation, not stored yet, completes. first_layer: of its publish epoch.

    Raises AtxIgnored where the identity is our own, or the other activation cannot stand in a proof.
    """
    return _double_publish(atx, id, view, first_layer, is_own) or _wrong_previous(atx, id, view, first_layer, is_own)


def wrong_index(atx: ActivationTxV1, position: int, first_layer: LayerId) -> MalfeasanceProof:
    """The proof that an activation's proof of space is wrong."""
    return MalfeasanceProof(first_layer, InvalidPostIndexProof(atx, position))


DOUBLE_PUBLISH, WRONG_PREVIOUS = "own_double_publish", "own_wrong_previous"
OWN = (DOUBLE_PUBLISH, WRONG_PREVIOUS)
"""Why an activation of an own identity is ignored: it contradicts the one that is stored."""


def _double_publish(
    atx: ActivationTxV1, id: AtxId, view: View, first_layer: LayerId, is_own: bool
) -> MalfeasanceProof | None:
    others = [one for one in published(view, atx.smesher_id, atx.publish_epoch) if one != id]
    if not others:
        return None
    if is_own:
        raise AtxIgnored(
            f"{atx.smesher_id.hex()} is ours and has published in epoch {atx.publish_epoch} already.",
            DOUBLE_PUBLISH,
        )
    other = others[0]
    signature = _stored_v1(view, other).signature
    first = AtxProofMsg(ATXMetadata(atx.publish_epoch, Hash32(other)), atx.smesher_id, signature)
    second = AtxProofMsg(ATXMetadata(atx.publish_epoch, Hash32(id)), atx.smesher_id, atx.signature)
    return MalfeasanceProof(first_layer, AtxProof((first, second)))


def _wrong_previous(
    atx: ActivationTxV1, id: AtxId, view: View, first_layer: LayerId, is_own: bool
) -> MalfeasanceProof | None:
    previous = atx.inner.challenge.prev_atx
    expected = newest_before(view, atx.smesher_id, atx.publish_epoch)
    if expected == previous:
        return None
    if is_own:
        raise AtxIgnored(
            f"{atx.smesher_id.hex()} is ours and follows {previous.hex()}, expected {expected.hex()}.",
            WRONG_PREVIOUS,
        )
    others = [one for one in with_previous(view, atx.smesher_id, previous) if one != id]
    if not others:
        return None
    return MalfeasanceProof(first_layer, InvalidPrevATXProof(atx, _stored_v1(view, others[0])))


def _stored_v1(view: View, id: AtxId) -> ActivationTxV1:
    stored, data = view.get(ATXS, id), view.get(BLOBS, id)
    if stored is None or data is None:
        raise AtxIgnored(f"The other ATX, {id.hex()}, was restored from a checkpoint.", "other_atx_checkpointed")
    if stored.version != 1:
        raise AtxIgnored(f"The other ATX, {id.hex()}, is of version {stored.version}.", "other_atx_not_v1")
    return ActivationTxV1.codec.decode(data)


# ---- version 2 ----


class Kind(Enum):
    """What is wrong."""

    DOUBLE_MARRY = "double_marry"
    """An identity is married in two activations."""
    DOUBLE_POST = "double_post"
    """An identity has proofs of space in two activations of an epoch."""
    DOUBLE_MERGE = "double_merge"
    """Two activations of an epoch merge the same marriage."""
    WRONG_PREVIOUS = "wrong_previous"
    """Two proofs of an identity follow the same one."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """An event: activations of version 2 contradict each other. The network has no message for it."""

    kind: Kind
    identity: NodeId
    """Whose marriage, or proof of space, it is."""
    atx: AtxId
    other: AtxId
    proof: bytes = b""
    """A ProofDoubleMarry, where it is one and both activations are stored whole."""


def find_v2(atx: ActivationTxV2, id: AtxId, posts: Mapping[NodeId, StoredPost], view: View) -> Contradiction | None:
    """The first contradiction of an activation, which is stored, with its marriages. posts: those that it holds."""
    return (
        _double_marry(atx, id, view)
        or _double_post(atx, id, posts, view)
        or _double_merge(atx, id, view)
        or _collision(atx, id, posts, view)
    )


def _double_marry(atx: ActivationTxV2, id: AtxId, view: View) -> Contradiction | None:
    for index, certificate in enumerate(atx.marriages):
        identity = atx.smesher_id
        if certificate.reference_atx != EMPTY_ATX_ID:
            reference = view.get(ATXS, certificate.reference_atx)
            assert reference is not None, "marriages were checked"
            identity = reference.smesher
        row = view.get(MARRIAGES, identity)
        assert row is not None, "marriages are stored"
        if row.atx == id:
            continue
        data, proof = view.get(BLOBS, row.atx), b""
        if data is not None:  # not restored from a checkpoint
            other = marriage_proof(ActivationTxV2.codec.decode(data), row.index)
            proof = ProofDoubleMarry.codec.encode(ProofDoubleMarry(identity, (marriage_proof(atx, index), other)))
        return Contradiction(Kind.DOUBLE_MARRY, identity, id, row.atx, proof)
    return None


def _double_post(
    atx: ActivationTxV2, id: AtxId, posts: Mapping[NodeId, StoredPost], view: View
) -> Contradiction | None:
    for identity in posts:
        others = [one for one in proved(view, identity, atx.publish_epoch) if one != id]
        if others:
            return Contradiction(Kind.DOUBLE_POST, identity, id, others[0])
    return None


def _double_merge(atx: ActivationTxV2, id: AtxId, view: View) -> Contradiction | None:
    if atx.marriage_atx is None:
        return None
    others = [one for one in merged(view, atx.marriage_atx, atx.publish_epoch) if one != id]
    return Contradiction(Kind.DOUBLE_MERGE, atx.smesher_id, id, others[0]) if others else None


def _collision(atx: ActivationTxV2, id: AtxId, posts: Mapping[NodeId, StoredPost], view: View) -> Contradiction | None:
    for identity, post in posts.items():
        if post.previous in (EMPTY_ATX_ID, newest_before(view, identity, atx.publish_epoch)):
            continue  # two first activations are no collision here, unlike in version 1
        others = [one for one in with_previous(view, identity, post.previous) if one != id]
        if others:
            return Contradiction(Kind.WRONG_PREVIOUS, identity, id, others[0])
    return None
