"""Activations that are valid, made from nothing: PoET rounds with one or several members, both versions, marriages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from node.contract.ports import Signer
from protocol.crypto.merkle import prove, root_of
from protocol.crypto.signing import Domain
from protocol.types.activation import (
    ActivationTxV1,
    InnerActivationTxV1,
    MembershipProofV1,
    NIPostChallengeV1,
    NIPostV1,
    PostMetadataV1,
    PostV1,
)
from protocol.types.activation_v2 import (
    ActivationTxV2,
    InitialAtxPartsV2,
    MarriageCertificate,
    MerkleProofV2,
    NiPostsV2,
    SubPostV2,
)
from protocol.types.ids import EMPTY_ATX_ID, Address, AtxId, EdSignature, EpochId, Hash32
from protocol.types.poet import MerkleProof, PoetProof, PoetProofMessage

GOLDEN = AtxId(b"g" * 32)
LABELS = 128
TICK = 100
COINBASE = Address(bytes(4) + b"c" * 20)
POST = PostV1(9, b"\1\2\3", 5)
NONCE = 77


@dataclass(frozen=True, slots=True)
class Forged:
    """An activation with the PoET proofs that it names."""

    atx: ActivationTxV1 | ActivationTxV2
    poets: tuple[PoetProofMessage, ...]

    @property
    def id(self) -> AtxId:
        """Its id."""
        return self.atx.id()

    @property
    def data(self) -> bytes:
        """As it is sent."""
        if isinstance(self.atx, ActivationTxV1):
            return ActivationTxV1.codec.encode(self.atx)
        return ActivationTxV2.codec.encode(self.atx)


def poet(members: Sequence[bytes], ticks: int) -> PoetProofMessage:
    """A round of a PoET. The proof in it proves nothing."""
    proof = PoetProof(MerkleProof(root_of(members), (), ()), ticks * TICK)
    return PoetProofMessage(proof, b"", b"1", root_of(members))


def v1(
    signer: Signer,
    epoch: int,
    previous: Forged | None = None,
    *,
    units: int = 10,
    ticks: int = 10,
    positioning: AtxId = GOLDEN,
    post: PostV1 = POST,
) -> Forged:
    """An activation of version 1; without a previous one, the first."""
    challenge = NIPostChallengeV1(
        EpochId(epoch), 0, EMPTY_ATX_ID, positioning, commitment_atx=GOLDEN, initial_post=POST
    )
    if previous is not None:
        assert isinstance(previous.atx, ActivationTxV1)
        sequence = previous.atx.inner.challenge.sequence + 1
        challenge = NIPostChallengeV1(EpochId(epoch), sequence, previous.id, positioning)
    round = poet((challenge.hash(),), ticks)
    nipost = NIPostV1(MembershipProofV1((), 0), post, PostMetadataV1(round.ref(), LABELS))
    is_first = previous is None
    inner = InnerActivationTxV1(
        challenge, COINBASE, units, nipost, signer.identity if is_first else None, NONCE if is_first else None
    )
    return Forged(sign_v1(signer, ActivationTxV1(inner, signer.identity, EdSignature(bytes(64)))), (round,))


def sign_v1(signer: Signer, atx: ActivationTxV1) -> ActivationTxV1:
    """Signed anew."""
    return replace(atx, signature=signer.sign(Domain.ATX, atx.signed_bytes()))


def v2(
    signer: Signer,
    epoch: int,
    previous: AtxId | None = None,
    *,
    units: int = 10,
    ticks: int = 10,
    marries: Sequence[tuple[Signer, AtxId]] = (),
    post: PostV1 = POST,
) -> Forged:
    """An activation of version 2 of one identity. marries: identities with an activation of each; its own is empty."""
    initial = InitialAtxPartsV2(GOLDEN, POST) if previous is None else None
    marriages = tuple(
        MarriageCertificate(reference, one.sign(Domain.MARRIAGE, signer.identity)) for one, reference in marries
    )
    part = SubPostV2(0, 0, 0, post, units)
    # the id of a first one covers neither who signs it nor its units: the nonce makes it another one
    nonce = int.from_bytes(signer.identity[:4], "big") + units
    before = () if previous is None else (previous,)
    return _v2(signer, epoch, initial, before, [([part], ticks)], marriages, None, nonce)


def merged(
    signer: Signer,
    epoch: int,
    marriage: AtxId,
    previous: Sequence[AtxId],
    rounds: Sequence[tuple[Sequence[SubPostV2], int]],
) -> Forged:
    """An activation that holds proofs of several identities. rounds: the proofs and ticks of each PoET."""
    return _v2(signer, epoch, None, tuple(previous), rounds, (), marriage)


def _v2(
    signer: Signer,
    epoch: int,
    initial: InitialAtxPartsV2 | None,
    previous: tuple[AtxId, ...],
    rounds: Sequence[tuple[Sequence[SubPostV2], int]],
    marriages: tuple[MarriageCertificate, ...],
    marriage: AtxId | None,
    nonce: int = NONCE,
) -> Forged:
    atx = ActivationTxV2(
        EpochId(epoch), GOLDEN, COINBASE, initial, previous, (), nonce, marriages, marriage, signer.identity,
        EdSignature(bytes(64)),
    )  # fmt: skip
    niposts, poets = [], []
    for posts, ticks in rounds:
        leaves = {post.membership_leaf_index: atx.challenge_of(post).hash() for post in posts}
        members = [leaves.get(index, Hash32(bytes(32))) for index in range(max(leaves) + 1)]
        poets.append(poet(members, ticks))
        nodes = tuple(Hash32(node) for node in prove(members, sorted(leaves)))
        niposts.append(NiPostsV2(MerkleProofV2(nodes), Hash32(poets[-1].ref()), tuple(posts)))
    atx = replace(atx, niposts=tuple(niposts))
    return Forged(sign_v2(signer, atx), tuple(poets))


def sign_v2(signer: Signer, atx: ActivationTxV2) -> ActivationTxV2:
    """Signed anew."""
    return replace(atx, signature=signer.sign(Domain.ATX, atx.id()))
