"""Certificates: enough eligible smeshers say that Hare agreed on this block.

Protocol 03-encoding-and-types, section 4.5; certify messages are signed in the domain HARE (section 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from protocol.codec.declare import Record, c16, record, up_to

from .ids import (
    BlockId,
    EdSignature,
    LayerId,
    NodeId,
    VrfSignature,
)

MAX_SIGNATURES = 1000
CERTIFIER_ROUND = 0x7FFFFFFF
"""The round in the VRF input of a certifier's eligibility."""


@record
class CertifyContent(Record):
    """What a certifier signs."""

    layer: LayerId
    """The block's layer."""
    block_id: BlockId
    """The block; all zeros where Hare ended without one."""
    eligibility_count: Annotated[int, c16]
    """As how many the certifier counts."""
    proof: VrfSignature
    """Of the eligibility."""


@record
class CertifyMessage(Record):
    """A certifier's word. The signature stands before the smesher."""

    content: CertifyContent
    """What is signed."""
    signature: EdSignature
    """By the smesher over `signed_bytes`, in the domain HARE."""
    smesher_id: NodeId
    """The certifier."""

    def signed_bytes(self) -> bytes:
        """What is signed in the domain HARE."""
        return CertifyContent.codec.encode(self.content)


@record
class Certificate(Record):
    """The words of enough certifiers for one block."""

    block_id: BlockId
    """The block."""
    signatures: Annotated[Sequence[CertifyMessage], up_to(MAX_SIGNATURES)]
    """So many that their counts reach the threshold."""
