"""Certificates: enough eligible smeshers say that Hare agreed on this block.

Protocol 03-encoding-and-types, section 4.5; certify messages are signed in the domain HARE (section 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.codec.declare import c16, c32, struct, vector

from .ids import (
    BLOCK_ID,
    ED_SIGNATURE,
    NODE_ID,
    VRF_SIGNATURE,
    BlockId,
    EdSignature,
    LayerId,
    NodeId,
    VrfSignature,
)

MAX_SIGNATURES = 1000
CERTIFIER_ROUND = 0x7FFFFFFF
"""The round in the VRF input of a certifier's eligibility."""


@dataclass(frozen=True, slots=True)
class CertifyContent:
    """What a certifier signs."""

    layer: LayerId
    block_id: BlockId
    eligibility_count: int
    proof: VrfSignature
    """Of the eligibility."""

    codec = struct(layer=c32, block_id=BLOCK_ID, eligibility_count=c16, proof=VRF_SIGNATURE)


@dataclass(frozen=True, slots=True)
class CertifyMessage:
    """A certifier's word. The signature stands before the smesher."""

    content: CertifyContent
    signature: EdSignature
    smesher_id: NodeId

    codec = struct(content=CertifyContent.codec, signature=ED_SIGNATURE, smesher_id=NODE_ID)

    def signed_bytes(self) -> bytes:
        """What is signed in the domain HARE."""
        return CertifyContent.codec.encode(self.content)


@dataclass(frozen=True, slots=True)
class Certificate:
    """The words of enough certifiers for one block."""

    block_id: BlockId
    signatures: Sequence[CertifyMessage]

    codec = struct(block_id=BLOCK_ID, signatures=vector(CertifyMessage.codec, MAX_SIGNATURES))
