"""Whether a proof of malfeasance holds, and whom it convicts. Pure: what must be looked up or computed is asked for.

A proof that does not hold is the fault of who sent it, so every refusal names its rule. A proof of version 1 convicts
by two signatures over conflicting metadata, or by an activation that can be shown to be wrong; one of version 2 by two
marriages. Protocol 03-encoding-and-types, section 4.9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from protocol.crypto.merkle import validate
from protocol.crypto.signing import Domain
from protocol.errors import ProtocolError
from protocol.types.activation import ActivationTxV1, PostMetadataV1, PostV1
from protocol.types.activation_v2 import MARRIAGES_LEAF, ActivationTxV2, MarriageCertificate
from protocol.types.ids import AtxId, EdSignature, Hash32, NodeId
from protocol.types.malfeasance import (
    AtxProof,
    AtxProofMsg,
    BallotProof,
    BallotProofMsg,
    HareProof,
    HareProofMsg,
    InvalidPostIndexProof,
    InvalidPrevATXProof,
    MalfeasanceProof,
    MarryProof,
    ProofDoubleMarry,
)

Verify = Callable[[Domain, NodeId, bytes, EdSignature], bool]
"""Whether an identity signed a message in a domain, with the network's prefix."""


class InvalidProof(ProtocolError):
    """The proof convicts nobody.

    reason: invalid_proof (the messages do not conflict), invalid_signature, unknown_identity, commitment_unknown;
    of marriages same_atx, atx_signature, certificate_signature, certificate_proof, marriage_proof.
    """


@dataclass(frozen=True, slots=True)
class PostQuestion:
    """One label index of a proof of space, to be checked."""

    node_id: NodeId
    commitment_atx: AtxId
    post: PostV1 | None
    """None where the activation has none."""
    metadata: PostMetadataV1
    num_units: int
    index: int
    """The position among the proof's indices."""


@dataclass(frozen=True, slots=True)
class World:
    """What has to be known beside a proof."""

    verify: Verify
    identity_exists: Callable[[NodeId], bool]
    """Whether an activation of the identity is stored."""
    commitment_of: Callable[[NodeId], AtxId | None]
    """The commitment ATX of an identity's stored activations."""
    is_index_invalid: Callable[[PostQuestion], bool]
    """Whether the proof of space is wrong at the index."""


def offender(proof: MalfeasanceProof, world: World) -> NodeId:
    """Who is convicted by a proof of version 1. Raises InvalidProof."""
    match proof.proof:
        case AtxProof(messages):
            return _equivocation(messages, Domain.ATX, world, lambda one: (one.inner.publish_epoch,))
        case BallotProof(messages):
            return _equivocation(messages, Domain.BALLOT, world, lambda one: (one.inner.layer,))
        case HareProof(messages):
            return _equivocation(messages, Domain.HARE, world, lambda one: (one.inner.layer, one.inner.round))
        case InvalidPostIndexProof():
            return _invalid_post(proof.proof, world)
        case InvalidPrevATXProof():
            return _invalid_previous(proof.proof, world)


SignedMessage = AtxProofMsg | BallotProofMsg | HareProofMsg

Signed = tuple[Domain, NodeId, bytes, EdSignature]
"""What `Verify` is asked."""


def signatures(proof: MalfeasanceProof) -> list[Signed]:
    """All signatures that a proof of version 1 stands on, the first one of the identity that it is about."""
    match proof.proof:
        case AtxProof(messages):
            return _signed(messages, Domain.ATX)
        case BallotProof(messages):
            return _signed(messages, Domain.BALLOT)
        case HareProof(messages):
            return _signed(messages, Domain.HARE)
        case InvalidPostIndexProof(atx):
            return _signed((atx,), Domain.ATX)
        case InvalidPrevATXProof(first, second):
            return _signed((first, second), Domain.ATX)


def _signed(messages: Sequence[SignedMessage | ActivationTxV1], domain: Domain) -> list[Signed]:
    return [(domain, one.smesher_id, one.signed_bytes(), one.signature) for one in messages]


def _equivocation(
    messages: Sequence[SignedMessage], domain: Domain, world: World, occasion: Callable[..., tuple[int, ...]]
) -> NodeId:
    first, second = messages
    _require_identity(first.smesher_id, world)
    for message in messages:
        if not world.verify(domain, message.smesher_id, message.signed_bytes(), message.signature):
            raise InvalidProof(f"{message.smesher_id.hex()} did not sign the message.", "invalid_signature")
    if first.smesher_id != second.smesher_id:
        raise InvalidProof("The two messages are of two identities.", "invalid_proof")
    if occasion(first) != occasion(second):
        raise InvalidProof("The two messages are of different epochs, layers or rounds.", "invalid_proof")
    if first.inner.msg_hash == second.inner.msg_hash:
        raise InvalidProof("The two messages are the same.", "invalid_proof")
    return first.smesher_id


def _invalid_post(proof: InvalidPostIndexProof, world: World) -> NodeId:
    question = post_question(proof, world.verify, world.commitment_of)
    if not world.is_index_invalid(question):
        raise InvalidProof(f"The proof of space is right at index {proof.invalid_index}.", "invalid_proof")
    return proof.atx.smesher_id


def post_question(
    proof: InvalidPostIndexProof, verify: Verify, commitment_of: Callable[[NodeId], AtxId | None]
) -> PostQuestion:
    """What has to be checked of a proof of space before somebody is convicted by it. Raises InvalidProof."""
    atx = proof.atx
    _require_signature(atx, verify)
    commitment = atx.inner.challenge.commitment_atx or commitment_of(atx.smesher_id)
    if commitment is None:
        raise InvalidProof(f"The commitment ATX of {atx.smesher_id.hex()} is not known.", "commitment_unknown")
    nipost = atx.inner.nipost
    if nipost is None or nipost.post_metadata is None:  # the reference crashes here
        raise InvalidProof("The activation has no proof of space that could be wrong.", "invalid_proof")
    return PostQuestion(
        atx.smesher_id, commitment, nipost.post, nipost.post_metadata, atx.inner.num_units, proof.invalid_index
    )


def _invalid_previous(proof: InvalidPrevATXProof, world: World) -> NodeId:
    first, second = proof.atx1, proof.atx2
    _require_identity(first.smesher_id, world)
    _require_signature(first, world.verify)
    _require_signature(second, world.verify)
    if first.smesher_id != second.smesher_id:
        raise InvalidProof("The two activations are of two identities.", "invalid_proof")
    if first.id() == second.id():
        raise InvalidProof("The two activations are the same.", "invalid_proof")
    if first.inner.challenge.prev_atx != second.inner.challenge.prev_atx:
        raise InvalidProof("The two activations have different previous ones.", "invalid_proof")
    return first.smesher_id


def _require_identity(node_id: NodeId, world: World) -> None:
    if not world.identity_exists(node_id):
        raise InvalidProof(f"No activation of {node_id.hex()} is known.", "unknown_identity")


def _require_signature(atx: ActivationTxV1, verify: Verify) -> None:
    if not verify(Domain.ATX, atx.smesher_id, atx.signed_bytes(), atx.signature):
        raise InvalidProof(f"{atx.smesher_id.hex()} did not sign the activation.", "invalid_signature")


# ---- marriages ----


def double_marriage_offender(proof: ProofDoubleMarry, verify: Verify) -> NodeId:
    """Who is convicted of having been married twice. Raises InvalidProof.

    No message of the network carries such a proof yet: this is what one is worth that `node.activation` made.
    """
    first, second = proof.proofs
    if first.atx_id == second.atx_id:
        raise InvalidProof("Both marriages are in one activation.", "same_atx")
    for marriage in proof.proofs:
        check_marriage(marriage, proof.node_id, verify)
    return proof.node_id


def check_marriage(proof: MarryProof, node_id: NodeId, verify: Verify) -> None:
    """Checks that an activation marries an identity. Raises InvalidProof."""
    if not verify(Domain.ATX, proof.smesher_id, proof.atx_id, proof.signature):
        raise InvalidProof(f"{proof.smesher_id.hex()} did not sign the activation.", "atx_signature")
    if not verify(Domain.MARRIAGE, node_id, proof.smesher_id, proof.certificate_signature):
        raise InvalidProof(f"{node_id.hex()} did not sign the certificate.", "certificate_signature")
    if not _is_leaf(MARRIAGES_LEAF, proof.marriage_root, proof.marriage_proof, proof.atx_id):
        raise InvalidProof("The marriages are not those of the activation.", "marriage_proof")
    certificate = MarriageCertificate(proof.certificate_reference, proof.certificate_signature).root()
    if not _is_leaf(proof.certificate_index, certificate, proof.certificate_proof, proof.marriage_root):
        raise InvalidProof("The certificate is not among the marriages.", "certificate_proof")


def _is_leaf(index: int, leaf: bytes, nodes: Sequence[Hash32], root: bytes) -> bool:
    return validate((index,), (leaf,), nodes, root)


def marriage_proof(atx: ActivationTxV2, index: int) -> MarryProof:
    """The proof that an activation marries the identity with this certificate. Raises IndexError without it."""
    certificate = atx.marriages[index]
    return MarryProof(
        atx_id=atx.id(),
        marriage_root=Hash32(atx.marriages_root()),
        marriage_proof=tuple(Hash32(node) for node in atx.marriages_proof()),
        certificate_reference=certificate.reference_atx,
        certificate_signature=certificate.signature,
        certificate_index=index,
        certificate_proof=tuple(Hash32(node) for node in atx.certificate_proof(index)),
        smesher_id=atx.smesher_id,
        signature=atx.signature,
    )
