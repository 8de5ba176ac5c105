"""The messages that came for the blocks of recent layers, until there are enough of them for a certificate.

A smesher counts once for a block, however often it speaks. Protocol 05-consensus, sections 9 and 17.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from protocol.types.certificates import MAX_SIGNATURES, Certificate, CertifyMessage
from protocol.types.ids import BlockId, LayerId, NodeId


@dataclass(slots=True)
class Collected:
    """What came for one block of a layer. Mutable."""

    is_registered: bool = False
    """Whether hare came to this block here: only then a certificate is made of the messages."""
    is_done: bool = False
    messages: dict[NodeId, CertifyMessage] = field(default_factory=dict)
    """By smesher, in the order in which they came."""
    seats: int = 0

    def certificate(self, block: BlockId, threshold: int, more: CertifyMessage | None = None) -> Certificate | None:
        """The certificate that can be made now, or with one more message; None where none is to be made."""
        seats = self.seats + (0 if more is None else more.content.eligibility_count)
        if self.is_done or seats < threshold:
            return None
        return Certificate(block, (*self.messages.values(), *(() if more is None else (more,))))


class LayerMessages:
    """The blocks of one layer."""

    def __init__(self) -> None:
        self.blocks: dict[BlockId, Collected] = {}
        self._blocks_of: Counter[NodeId] = Counter()

    def of(self, block: BlockId) -> Collected:
        """What came for a block; an empty one is made where there is none."""
        return self.blocks.setdefault(block, Collected())

    def has_room(self, message: CertifyMessage, blocks_by_smesher: int) -> bool:
        """Whether a message that is not known can be kept."""
        known = self.blocks.get(message.content.block_id)
        return self._blocks_of[message.smesher_id] < blocks_by_smesher and (
            known is None or len(known.messages) < MAX_SIGNATURES
        )

    def add(self, message: CertifyMessage) -> None:
        """A valid message of a smesher that has not spoken for this block yet."""
        collected = self.of(message.content.block_id)
        collected.messages[message.smesher_id] = message
        collected.seats += message.content.eligibility_count
        self._blocks_of[message.smesher_id] += 1


def belonging(certificate: Certificate, layer: LayerId) -> list[CertifyMessage]:
    """The entries of a certificate that are about its block and layer, one of each smesher at most: the first one."""
    found: dict[NodeId, CertifyMessage] = {}
    for entry in certificate.signatures:
        if entry.content.layer == layer and entry.content.block_id == certificate.block_id:
            found.setdefault(entry.smesher_id, entry)
    return list(found.values())
