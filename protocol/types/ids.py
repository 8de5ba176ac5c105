"""Names of things: ids, keys, addresses and numbers that are more than bytes and integers to a type checker.

With each comes the codec of its raw form, and the two lengths of the ids of ballots, blocks and proposals: 20 bytes
in messages, 32 (padded with zeros) as keys and in hashes over lists. Protocol 03-encoding-and-types, section 3.
"""

from __future__ import annotations

from typing import NewType, TypeVar, cast

from protocol.codec.declare import Codec, fixed
from protocol.numbers.layers import EpochId, LayerId
from protocol.post.rules import AtxId, NodeId

__all__ = [
    "Address", "AtxId", "BallotId", "Beacon", "BlockId", "CompactProposalId", "EdSignature", "EpochId", "Hash20",
    "Hash32", "LayerId", "NodeId", "PoetProofRef", "ProposalId", "RoundId", "TransactionId", "VrfSignature",
    "ADDRESS", "ATX_ID", "BALLOT_ID", "BEACON", "BLOCK_ID", "COMPACT_PROPOSAL_ID", "ED_SIGNATURE", "HASH20", "HASH32",
    "NODE_ID", "POET_PROOF_REF", "PROPOSAL_ID", "TRANSACTION_ID", "VRF_SIGNATURE",
    "EMPTY_ADDRESS", "EMPTY_ATX_ID", "EMPTY_BALLOT_ID", "EMPTY_BLOCK_ID", "EMPTY_NODE_ID", "NO_LAYER", "as_hash32",
]  # fmt: skip

Hash32 = NewType("Hash32", bytes)
"""32 bytes of BLAKE3."""
Hash20 = NewType("Hash20", bytes)
"""20 bytes of BLAKE3."""
TransactionId = NewType("TransactionId", bytes)
"""32 bytes: the hash of a transaction with its signatures."""
PoetProofRef = NewType("PoetProofRef", bytes)
"""32 bytes: the hash of a PoET proof."""
BallotId = NewType("BallotId", bytes)
"""20 bytes."""
BlockId = NewType("BlockId", bytes)
"""20 bytes."""
ProposalId = NewType("ProposalId", bytes)
"""20 bytes."""
CompactProposalId = NewType("CompactProposalId", bytes)
"""4 bytes: the first ones of the proposal's first eligibility proof."""
Beacon = NewType("Beacon", bytes)
"""4 bytes of an epoch's common randomness."""
Address = NewType("Address", bytes)
"""24 bytes: four reserved ones, zero in every computed address, and 20 of a hash."""
EdSignature = NewType("EdSignature", bytes)
"""64 bytes: R and S."""
VrfSignature = NewType("VrfSignature", bytes)
"""80 bytes: gamma, c and s."""
RoundId = NewType("RoundId", int)
"""A round of the beacon, 0 to 2^32 - 1."""

ATX_ID = cast(Codec[AtxId], fixed(32))
NODE_ID = cast(Codec[NodeId], fixed(32))
TRANSACTION_ID = cast(Codec[TransactionId], fixed(32))
POET_PROOF_REF = cast(Codec[PoetProofRef], fixed(32))
HASH32 = cast(Codec[Hash32], fixed(32))
HASH20 = cast(Codec[Hash20], fixed(20))
BALLOT_ID = cast(Codec[BallotId], fixed(20))
BLOCK_ID = cast(Codec[BlockId], fixed(20))
PROPOSAL_ID = cast(Codec[ProposalId], fixed(20))
COMPACT_PROPOSAL_ID = cast(Codec[CompactProposalId], fixed(4))
BEACON = cast(Codec[Beacon], fixed(4))
ADDRESS = cast(Codec[Address], fixed(24))
ED_SIGNATURE = cast(Codec[EdSignature], fixed(64))
VRF_SIGNATURE = cast(Codec[VrfSignature], fixed(80))

EMPTY_ATX_ID = AtxId(bytes(32))
EMPTY_NODE_ID = NodeId(bytes(32))
EMPTY_BALLOT_ID = BallotId(bytes(20))
EMPTY_BLOCK_ID = BlockId(bytes(20))
EMPTY_ADDRESS = Address(bytes(24))
NO_LAYER = LayerId(0)
"""What stands where no layer is meant."""

_PADDING = bytes(12)

Id20 = TypeVar("Id20", BallotId, BlockId, ProposalId, Hash20)


def as_hash32(short: Id20) -> Hash32:
    """The 32-byte form of a 20-byte id: in hashes over lists, as a key of the store and of a fetch request."""
    return Hash32(short + _PADDING)
