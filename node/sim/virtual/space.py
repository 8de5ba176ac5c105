"""Virtual proofs of space: indices that follow from whose space it is, and the challenge.

Packed as the network packs them, so that one wrong index can be found and proven wrong.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from node.contract.demands import PostVerdict, VerifyPost, VerifyVrfNonce
from protocol.post.proof import pack_indices, packed_size, required_bits, unpack_indices
from protocol.types.activation import PostV1
from protocol.types.ids import AtxId, NodeId


@dataclass(frozen=True, slots=True)
class VirtualSpace:
    """The rules of all virtual space of a network."""

    k2: int
    """Indices of a proof."""
    labels_per_unit: int

    def prove(self, node: NodeId, commitment: AtxId, challenge: bytes, units: int) -> PostV1:
        """The one valid proof."""
        indices = self._indices(node, commitment, challenge, units)
        return PostV1(indices[0] % 16, pack_indices(indices, self._bits(units)), indices[-1])

    def verify(self, work: VerifyPost) -> PostVerdict:
        """What checking gives."""
        bits = required_bits(work.num_units * work.metadata.labels_per_unit)
        expected = self._indices(work.node_id, work.commitment_atx, work.metadata.challenge, work.num_units)
        if len(work.post.indices) != packed_size(bits, self.k2):
            return PostVerdict(False, None, "its indices have another size")
        found = unpack_indices(work.post.indices, bits, self.k2)
        for position in range(self.k2) if work.positions is None else work.positions:
            if found[position] != expected[position]:
                return PostVerdict(False, position, f"the label at index {found[position]} is not good")
        if (work.post.nonce, work.post.pow) != (expected[0] % 16, expected[-1]):
            return PostVerdict(False, None, "its proof of work does not hold")
        return PostVerdict(True)

    def nonce(self, node: NodeId, commitment: AtxId) -> int:
        """The one valid VRF nonce."""
        return int.from_bytes(hashlib.sha256(b"nonce" + node + commitment).digest()[:4], "little")

    def verify_nonce(self, work: VerifyVrfNonce) -> bool:
        """Whether a nonce is that of a space."""
        return work.nonce == self.nonce(work.node_id, work.commitment_atx)

    def _bits(self, units: int) -> int:
        return required_bits(units * self.labels_per_unit)

    def _indices(self, node: NodeId, commitment: AtxId, challenge: bytes, units: int) -> list[int]:
        labels = units * self.labels_per_unit
        seed = hashlib.shake_128(node + commitment + bytes(challenge)).digest(8 * self.k2)
        drawn = (int.from_bytes(seed[8 * at : 8 * at + 8], "little") for at in range(self.k2))
        return [number % labels for number in drawn]
