"""The proofs of space in stored activations: to verify them, and to show one to a certifier.

Protocol 04-activation-beacon-eligibility, section 6, and 02-poet-client, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.activation.errors import AtxRefused
from node.activation.marriages import equivocation_set
from node.activation.tables import ATXS, BLOBS, POSTS, commitment_of, newest_before
from node.contract.demands import SpaceProof, VerifyPost
from node.store.view import View
from protocol.types.activation import ActivationTxV1, PostMetadataV1
from protocol.types.activation_v2 import ActivationTxV2
from protocol.types.ids import EMPTY_ATX_ID, AtxId, EpochId, NodeId

from .tables import INITIAL_POSTS

LAST_EPOCH = EpochId((1 << 32) - 1)


def last_of(view: View, identity: NodeId) -> AtxId | None:
    """The newest activation with a proof of an identity, whoever published it; None where there is none."""
    found = newest_before(view, identity, LAST_EPOCH)
    return None if found == EMPTY_ATX_ID else found


def read_atx(view: View, id: AtxId) -> ActivationTxV1 | ActivationTxV2 | None:
    """A stored activation; None where it, or its bytes, are not here."""
    stored, data = view.get(ATXS, id), view.get(BLOBS, id)
    if stored is None or data is None:
        return None
    return (ActivationTxV1.codec if stored.version == 1 else ActivationTxV2.codec).decode(data)


def proofs_in(
    atx: ActivationTxV1 | ActivationTxV2, id: AtxId, view: View, labels_per_unit: int
) -> Sequence[VerifyPost] | None:
    """The checks of all proofs of space in a stored activation, every label of them; None where it cannot be told whose
    they are.

    Each is checked as it was made: for whose it is, over the units that were declared. labels_per_unit: of the network,
    for version 2.
    """
    if isinstance(atx, ActivationTxV1):
        return _of_v1(atx, view)
    return _of_v2(atx, id, view, labels_per_unit)


def builds_on(atx: ActivationTxV1 | ActivationTxV2) -> list[AtxId]:
    """What has to be valid for it to be: previous ones, the positioning one, and the commitment of a first one."""
    if isinstance(atx, ActivationTxV1):
        challenge = atx.inner.challenge
        previous: tuple[AtxId, ...] = () if atx.is_initial else (challenge.prev_atx,)
        positioning, commitment = challenge.positioning_atx, challenge.commitment_atx
    else:
        previous = tuple(dict.fromkeys(atx.previous_atxs))
        positioning = atx.positioning_atx
        commitment = None if atx.initial is None else atx.initial.commitment_atx
    found = [*previous, positioning]
    return found if previous or commitment is None else [*found, commitment]


def _of_v1(atx: ActivationTxV1, view: View) -> Sequence[VerifyPost] | None:
    nipost, commitment = atx.inner.nipost, commitment_of(view, atx.smesher_id)
    if commitment is None or nipost is None or nipost.post is None or nipost.post_metadata is None:
        return None
    units = atx.inner.num_units
    return [VerifyPost(atx.smesher_id, commitment, nipost.post, nipost.post_metadata, units, is_urgent=True)]


def _of_v2(atx: ActivationTxV2, id: AtxId, view: View, labels_per_unit: int) -> Sequence[VerifyPost] | None:
    try:
        identities = equivocation_set(atx, view)
    except AtxRefused:
        return None
    checks = []
    for nipost in atx.niposts:
        metadata = PostMetadataV1(nipost.challenge, labels_per_unit)
        for post in nipost.posts:
            if post.marriage_index >= len(identities):
                return None
            identity = identities[post.marriage_index]
            commitment = commitment_of(view, identity)
            if commitment is None or not view.has(POSTS, (id, identity)):
                return None  # sets were joined since, which gave their members other indices
            checks.append(VerifyPost(identity, commitment, post.post, metadata, post.num_units, is_urgent=True))
    return checks


def space_proof(view: View, identity: NodeId, labels_per_unit: int) -> SpaceProof | None:
    """What a certifier is shown: the initial proof, else the one in the last activation.

    None where the identity has proven nothing yet, or a checkpoint has left its activation without bytes.
    """
    initial = view.get(INITIAL_POSTS, identity)
    if initial is not None and initial.is_verified:
        return SpaceProof(initial.post, bytes(32), initial.commitment_atx, initial.num_units)
    last = last_of(view, identity)
    atx = None if last is None else read_atx(view, last)
    if last is None or atx is None:
        return None
    for check in proofs_in(atx, last, view, labels_per_unit) or ():
        if check.node_id == identity:
            return SpaceProof(check.post, check.metadata.challenge, check.commitment_atx, check.num_units)
    return None
