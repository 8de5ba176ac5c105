"""What a proof of malfeasance says, as texts for interfaces. Protocol 05-consensus, section 12."""

from __future__ import annotations

from protocol.types.ids import NodeId
from protocol.types.malfeasance import (
    AtxProof,
    BallotProof,
    HareProof,
    InvalidPostIndexProof,
    InvalidPrevATXProof,
    MalfeasanceProof,
    ProofType,
)
from protocol.types.text import shown

DOMAIN_V1 = "0"


def info(proof: MalfeasanceProof) -> dict[str, str]:
    """Names and values: numbers in decimal, ids in hexadecimal; of whole activations only the first bytes of the id."""
    match proof.proof:
        case AtxProof((first, second)):
            found = _said(ProofType.MULTIPLE_ATXS, first.smesher_id, publish_epoch=str(first.inner.publish_epoch))
            return {**found, "atx1": first.inner.msg_hash.hex(), "atx2": second.inner.msg_hash.hex()}
        case BallotProof((first, second)):
            found = _said(ProofType.MULTIPLE_BALLOTS, first.smesher_id, layer=str(first.inner.layer))
            return {**found, "msg1": first.inner.msg_hash.hex(), "msg2": second.inner.msg_hash.hex()}
        case HareProof((first, second)):
            inner = first.inner
            found = _said(ProofType.HARE_EQUIVOCATION, first.smesher_id, layer=str(inner.layer), round=str(inner.round))
            return {**found, "msg1": inner.msg_hash.hex(), "msg2": second.inner.msg_hash.hex()}
        case InvalidPostIndexProof(atx, index):
            found = _said(ProofType.INVALID_POST_INDEX, atx.smesher_id, index=str(index))
            return {**found, "atx": shown(atx.id(), is_short=True)}
        case InvalidPrevATXProof(atx1, atx2):
            previous = shown(atx1.inner.challenge.prev_atx, is_short=True)
            found = _said(ProofType.INVALID_PREV_ATX, atx1.smesher_id, prev_atx=previous)
            return {**found, "atx1": shown(atx1.id(), is_short=True), "atx2": shown(atx2.id(), is_short=True)}
        case _:
            raise AssertionError("a proof is of one of five types")


def _said(type: ProofType, smesher: NodeId, **values: str) -> dict[str, str]:
    return {"domain": DOMAIN_V1, "type": str(int(type)), "smesher_id": smesher.hex(), **values}
