"""Proofs of malfeasance as clients see them. Specified in protocol 10-api, section 3.2."""

from __future__ import annotations

from collections.abc import Iterable

from protocol.errors import ProtocolError
from protocol.pb.spacemesh.v1 import types_pb2
from protocol.types.ids import LayerId, NodeId
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
    ProofData,
)
from protocol.types.text import shown

_Kind = types_pb2.MalfeasanceProof
_KINDS: dict[type[object], types_pb2.MalfeasanceProof.MalfeasanceType] = {
    AtxProof: _Kind.MALFEASANCE_ATX,
    BallotProof: _Kind.MALFEASANCE_BALLOT,
    HareProof: _Kind.MALFEASANCE_HARE,
    InvalidPostIndexProof: _Kind.MALFEASANCE_POST_INDEX,
    InvalidPrevATXProof: _Kind.MALFEASANCE_INCORRECT_PREV_ATX,
}


def message(identity: NodeId, data: bytes, *, with_proof: bool) -> types_pb2.MalfeasanceProof:
    """A stored proof; nothing but an empty message where it cannot be read."""
    try:
        proof = MalfeasanceProof.codec.decode(data)
    except ProtocolError:
        return types_pb2.MalfeasanceProof()
    return types_pb2.MalfeasanceProof(
        smesher_id=types_pb2.SmesherId(id=identity),
        layer=types_pb2.LayerNumber(number=proof.layer),
        kind=_KINDS[type(proof.proof)],
        debug_info=debug_info(identity, proof.layer, proof.proof),
        proof=data if with_proof else b"",
    )


def debug_info(identity: NodeId, layer: LayerId, proof: ProofData) -> str:
    """The lines that tell people what an identity did. They are the network's own."""
    lines = [f"generate layer: {layer}", f"smesher id: {identity.hex()}", f"cause: smesher published {_cause(proof)}"]
    if isinstance(proof, AtxProof | BallotProof | HareProof):
        said: Iterable[AtxProofMsg | BallotProofMsg | HareProofMsg] = proof.messages
        for place, one in zip(("1st", "2nd"), said):
            lines.append(f"{place} message hash: {one.inner.msg_hash.hex()}")
            lines.append(f"{place} message signature: {one.signature.hex()}")
    return "".join(f"{line}\n" for line in lines)


def _cause(proof: ProofData) -> str:
    match proof:
        case AtxProof((first, _)):
            return f"multiple ATXs in epoch {first.inner.publish_epoch}"
        case BallotProof((first, _)):
            return f"multiple ballots in layer {first.inner.layer}"
        case HareProof((first, _)):
            return f"multiple hare messages in layer {first.inner.layer} round {first.inner.round}"
        case InvalidPostIndexProof(atx, index):
            id, epoch = shown(atx.id(), is_short=True), atx.publish_epoch
            return f"ATX {id} with invalid post index {index} in epoch {epoch}"
        case InvalidPrevATXProof(atx1, atx2):
            first_id, other, epoch = atx1.id(), atx2.id(), atx1.publish_epoch
            return (
                f"ATX {shown(first_id, is_short=True)} with invalid previous ATX {shown(other, is_short=True)} "
                f"in epoch {epoch}"
            )
        case _:
            raise AssertionError("a proof is of one of five types")
