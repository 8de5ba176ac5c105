"""Activations as they are signed: of version 1, and of version 2 for one identity or for several that are married.

Pure: what is put together was registered, proven and verified before. Protocol 04-activation-beacon-eligibility,
sections 2, 3.1 and 5.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from node.contract.ports import Signer
from protocol.crypto.merkle import proof_positions
from protocol.crypto.signing import Domain
from protocol.types.activation import ActivationTxV1, InnerActivationTxV1, NIPostV1, PostMetadataV1
from protocol.types.activation_v2 import (
    MAX_NIPOSTS,
    ActivationTxV2,
    InitialAtxPartsV2,
    MerkleProofV2,
    NiPostsV2,
    SubPostV2,
)
from protocol.types.ids import Address, AtxId, EdSignature, Hash32, NodeId, PoetProofRef

from .tables import Challenge, Membership, Nipost

UNSIGNED = EdSignature(bytes(64))


@dataclass(frozen=True, slots=True)
class Part:
    """What one identity contributes."""

    identity: NodeId
    challenge: Challenge
    membership: Membership
    nipost: Nipost


def version_1(signer: Signer, part: Part, coinbase: Address, vrf_nonce: int | None) -> bytes:
    """An activation of version 1. vrf_nonce: where it must be named."""
    membership, nipost = part.membership, part.nipost
    inner = InnerActivationTxV1(
        part.challenge.v1(),
        coinbase,
        nipost.num_units,
        NIPostV1(membership.proof, nipost.post, PostMetadataV1(membership.ref, nipost.labels_per_unit)),
        signer.identity if part.challenge.is_initial else None,
        vrf_nonce,
    )
    atx = ActivationTxV1(inner, signer.identity, UNSIGNED)
    return ActivationTxV1.codec.encode(replace(atx, signature=signer.sign(Domain.ATX, atx.signed_bytes())))


def version_2(signer: Signer, part: Part, coinbase: Address, vrf_nonce: int) -> bytes:
    """An activation of version 2 of one identity. It marries none: no interface of a node asks for that."""
    challenge = part.challenge
    initial = None
    if challenge.initial_post is not None:
        assert challenge.commitment_atx is not None, "a first activation has both"
        initial = InitialAtxPartsV2(challenge.commitment_atx, challenge.initial_post)
    previous = () if challenge.is_initial else (challenge.prev_atx,)
    nipost = NiPostsV2(MerkleProofV2(part.membership.nodes), Hash32(part.membership.ref), (_sub_post(part, 0, 0),))
    return _signed(signer, challenge, coinbase, initial, previous, (nipost,), vrf_nonce, None)


def merged(
    signer: Signer,
    parts: Sequence[Part],
    identities: Sequence[NodeId],
    marriage_atx: AtxId,
    coinbase: Address,
    vrf_nonce: int,
) -> bytes:
    """An activation with the proofs of several married identities, that of the signer among them.

    identities: of the whole set, in the order that the indices mean. The parts have one positioning activation and one
    publish epoch, and proofs of at most four rounds. Raises ValueError where they do not.
    """
    first = parts[0].challenge
    plan = (first.publish_epoch, first.positioning_atx)
    if any((part.challenge.publish_epoch, part.challenge.positioning_atx) != plan for part in parts):
        raise ValueError("identities that are merged have one publish epoch and one positioning activation")
    previous = list(dict.fromkeys(part.challenge.prev_atx for part in parts))
    rounds: dict[PoetProofRef, list[Part]] = {}
    for part in parts:
        rounds.setdefault(part.membership.ref, []).append(part)
    if len(rounds) > MAX_NIPOSTS:
        raise ValueError(f"the proofs are of {len(rounds)} rounds, expected at most {MAX_NIPOSTS}")
    niposts = tuple(
        NiPostsV2(
            MerkleProofV2(joined([part.membership for part in group])),
            Hash32(ref),
            tuple(
                _sub_post(part, identities.index(part.identity), previous.index(part.challenge.prev_atx))
                for part in group
            ),
        )
        for ref, group in rounds.items()
    )
    return _signed(signer, first, coinbase, None, tuple(previous), niposts, vrf_nonce, marriage_atx)


def joined(memberships: Sequence[Membership]) -> tuple[Hash32, ...]:
    """One proof for several members of a round, out of a proof for each."""
    paths = {one.leaf_index: one.nodes for one in memberships}
    height = len(memberships[0].nodes)
    nodes = []
    for layer, position in proof_positions(sorted(paths), height):
        below = next(index for index in paths if (index >> layer) ^ 1 == position)
        nodes.append(paths[below][layer])
    return tuple(nodes)


def _sub_post(part: Part, marriage_index: int, previous_index: int) -> SubPostV2:
    leaf_index = part.membership.leaf_index
    return SubPostV2(marriage_index, previous_index, leaf_index, part.nipost.post, part.nipost.num_units)


def _signed(
    signer: Signer,
    challenge: Challenge,
    coinbase: Address,
    initial: InitialAtxPartsV2 | None,
    previous: tuple[AtxId, ...],
    niposts: tuple[NiPostsV2, ...],
    vrf_nonce: int,
    marriage_atx: AtxId | None,
) -> bytes:
    atx = ActivationTxV2(
        challenge.publish_epoch,
        challenge.positioning_atx,
        coinbase,
        initial,
        previous,
        niposts,
        vrf_nonce,
        (),
        marriage_atx,
        signer.identity,
        UNSIGNED,
    )
    return ActivationTxV2.codec.encode(replace(atx, signature=signer.sign(Domain.ATX, atx.signed_bytes())))
