"""Whom a proof of malfeasance convicts, beyond what the vectors ask: what is asked for, marriages made here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from node.malfeasance import verdicts as malfeasance
from node.malfeasance.verdicts import InvalidProof, PostQuestion, World
from protocol.crypto import signing
from protocol.crypto.signing import Domain, Signer
from protocol.types.activation import (
    ActivationTxV1,
    InnerActivationTxV1,
    NIPostChallengeV1,
    NIPostV1,
    PostMetadataV1,
    PostV1,
)
from protocol.types.activation_v2 import ActivationTxV2, MarriageCertificate
from protocol.types.hare import HareMetadata
from protocol.types.ids import (
    Address,
    AtxId,
    EdSignature,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
)
from protocol.types.malfeasance import (
    HareProof,
    HareProofMsg,
    InvalidPostIndexProof,
    InvalidPrevATXProof,
    MalfeasanceProof,
    MarryProof,
    ProofData,
    ProofDoubleMarry,
)
from protocol.types.poet import MembershipProof

PREFIX = bytes(range(20))
CULPRIT, OTHER = Signer(b"c" * 32, PREFIX), Signer(b"o" * 32, PREFIX)
NODE, OTHER_NODE = NodeId(CULPRIT.public_key), NodeId(OTHER.public_key)
COMMITMENT = AtxId(b"\x0c" * 32)


def verify(domain: Domain, node_id: NodeId, message: bytes, signature: EdSignature) -> bool:
    return signing.verify(domain, node_id, message, signature, PREFIX)


def world(is_index_invalid: Callable[[PostQuestion], bool] = lambda question: True) -> World:
    return World(
        verify=verify,
        identity_exists=lambda node_id: node_id == NODE,
        commitment_of=lambda node_id: COMMITMENT if node_id == NODE else None,
        is_index_invalid=is_index_invalid,
    )


def refusal(proof: ProofData, world: World) -> str:
    with pytest.raises(InvalidProof) as found:
        malfeasance.offender(MalfeasanceProof(LayerId(9), proof), world)
    return found.value.reason


def hare_proof(signers: tuple[Signer, Signer] = (CULPRIT, CULPRIT)) -> HareProof:
    messages = []
    for number, signer in enumerate(signers):
        inner = HareMetadata(LayerId(5), 7, Hash32(bytes((number,)) * 32))
        signature = EdSignature(signer.sign(Domain.HARE, HareMetadata.codec.encode(inner)))
        messages.append(HareProofMsg(inner, NodeId(signer.public_key), signature))
    return HareProof(tuple(messages))


def atx(sequence: int = 1, post: PostV1 | None = None, signer: Signer = CULPRIT, units: int = 4) -> ActivationTxV1:
    zero = AtxId(bytes(32))
    nipost = NIPostV1(MembershipProof((), 0), post, PostMetadataV1(b"\7" * 32, 512))
    challenge = NIPostChallengeV1(EpochId(3), sequence, zero, zero)
    inner = InnerActivationTxV1(challenge, Address(bytes(24)), units, nipost)
    unsigned = ActivationTxV1(inner, NodeId(signer.public_key), EdSignature(bytes(64)))
    return replace(unsigned, signature=EdSignature(signer.sign(Domain.ATX, unsigned.signed_bytes())))


def test_two_messages_of_one_round_convict() -> None:
    proof = MalfeasanceProof(LayerId(9), hare_proof())
    assert malfeasance.offender(proof, world()) == NODE
    assert refusal(hare_proof((CULPRIT, OTHER)), world()) == "invalid_proof"
    assert refusal(hare_proof((OTHER, OTHER)), world()) == "unknown_identity"


def test_the_index_is_asked_for_with_all_that_is_known() -> None:
    asked: list[PostQuestion] = []

    def is_invalid(question: PostQuestion) -> bool:
        asked.append(question)
        return question.index == 2

    post = PostV1(1, b"\1\2\3", 9)
    convicted = malfeasance.offender(
        MalfeasanceProof(LayerId(9), InvalidPostIndexProof(atx(post=post), 2)), world(is_invalid)
    )
    assert convicted == NODE
    assert asked == [PostQuestion(NODE, COMMITMENT, post, PostMetadataV1(b"\7" * 32, 512), 4, 2)]
    assert refusal(InvalidPostIndexProof(atx(post=post), 1), world(is_invalid)) == "invalid_proof"
    assert refusal(InvalidPostIndexProof(atx(signer=OTHER), 2), world(is_invalid)) == "commitment_unknown"


def test_an_activation_without_proof_convicts_nobody() -> None:
    """The reference stops its process here."""
    bare = atx()
    for nipost in (None, replace(bare.inner.nipost, post_metadata=None)):  # type: ignore[type-var]
        unsigned = replace(bare, inner=replace(bare.inner, nipost=nipost))
        signed = replace(unsigned, signature=EdSignature(CULPRIT.sign(Domain.ATX, unsigned.signed_bytes())))
        assert refusal(InvalidPostIndexProof(signed, 0), world()) == "invalid_proof"


def test_two_activations_with_one_previous() -> None:
    assert malfeasance.offender(MalfeasanceProof(LayerId(9), InvalidPrevATXProof(atx(1), atx(2))), world()) == NODE
    assert refusal(InvalidPrevATXProof(atx(1), atx(1)), world()) == "invalid_proof"
    assert refusal(InvalidPrevATXProof(atx(1), replace(atx(2), signature=atx(1).signature)), world()) == (
        "invalid_signature"
    )


# ---- marriages ----


def married(publisher: Signer, epoch: int, spouses: tuple[Signer, ...]) -> ActivationTxV2:
    certificates = tuple(
        MarriageCertificate(AtxId(bytes(32)), EdSignature(spouse.sign(Domain.MARRIAGE, publisher.public_key)))
        for spouse in spouses
    )
    unsigned = ActivationTxV2(
        EpochId(epoch),
        AtxId(bytes(32)),
        Address(bytes(24)),
        None,
        (),
        (),
        0,
        certificates,
        None,
        NodeId(publisher.public_key),
        EdSignature(bytes(64)),
    )
    return replace(unsigned, signature=EdSignature(publisher.sign(Domain.ATX, unsigned.signed_bytes())))


def test_two_marriages_convict_and_the_proof_survives_the_wire() -> None:
    first = malfeasance.marriage_proof(married(OTHER, 4, (OTHER, CULPRIT)), 1)
    second = malfeasance.marriage_proof(married(CULPRIT, 5, (CULPRIT,)), 0)
    assert (len(first.marriage_proof), len(first.certificate_proof)) == (4, 8)
    proof = ProofDoubleMarry.codec.decode(ProofDoubleMarry.codec.encode(ProofDoubleMarry(NODE, (first, second))))
    assert malfeasance.double_marriage_offender(proof, verify) == NODE
    for wrong, reason in (
        (replace(proof, proofs=(first, first)), "same_atx"),
        (replace(proof, node_id=OTHER_NODE), "certificate_signature"),
        (replace(proof, proofs=(replace(first, certificate_index=0), second)), "certificate_proof"),
        (replace(proof, proofs=(replace(first, marriage_proof=()), second)), "marriage_proof"),
        (replace(proof, proofs=(first, replace(second, smesher_id=OTHER_NODE))), "atx_signature"),
    ):
        with pytest.raises(InvalidProof) as found:
            malfeasance.double_marriage_offender(wrong, verify)
        assert found.value.reason == reason


def test_there_is_no_proof_of_a_marriage_that_is_not_in_the_activation() -> None:
    with pytest.raises(IndexError):
        malfeasance.marriage_proof(married(OTHER, 4, (OTHER,)), 1)
    forged: MarryProof = replace(
        malfeasance.marriage_proof(married(OTHER, 4, (OTHER, CULPRIT)), 1), marriage_root=Hash32(bytes(32))
    )
    with pytest.raises(InvalidProof, match="not those of the activation"):
        malfeasance.check_marriage(forged, NODE, verify)
