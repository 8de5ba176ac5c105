"""Names of things: ids, keys, addresses and numbers that are more than bytes and integers to a type checker.

With each comes its encoding, and the two lengths of the ids of ballots, blocks and proposals: 20 bytes in messages, 32
(padded with zeros) as keys and in hashes over lists. Protocol 03-encoding-and-types, section 3.
"""

from __future__ import annotations

from typing import NewType, TypeVar

from protocol.codec.declare import c32, encoded_as, fixed
from protocol.crypto.hashing import HASH20_SIZE, HASH32_SIZE
from protocol.numbers.layers import EpochId, LayerId

__all__ = [
    "Address", "AtxId", "BallotId", "Beacon", "BlockId", "CompactProposalId", "EdSignature", "EpochId", "Hash20",
    "Hash32", "LayerId", "NodeId", "PoetProofRef", "ProposalId", "RoundId", "TransactionId", "VrfSignature",
    "ADDRESS_SIZE", "ID_SIZE", "HASH20_SIZE", "COMPACT_ID_SIZE", "BEACON_SIZE", "ED_SIGNATURE_SIZE",
    "VRF_SIGNATURE_SIZE",
    "EMPTY_ADDRESS", "EMPTY_ATX_ID", "EMPTY_BALLOT_ID", "EMPTY_BLOCK_ID", "EMPTY_NODE_ID", "NO_BEACON", "NO_LAYER",
    "as_hash32",
]  # fmt: skip

AtxId = NewType("AtxId", bytes)
"""32 bytes: the id of an activation transaction."""
NodeId = NewType("NodeId", bytes)
"""32 bytes: a smesher's Ed25519 public key."""
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

ID_SIZE = HASH32_SIZE
"""Bytes of ids of activations, nodes, transactions and PoET proofs, and of hashes."""
COMPACT_ID_SIZE = 4
BEACON_SIZE = 4
ADDRESS_SIZE = 24
ED_SIGNATURE_SIZE = 64
VRF_SIGNATURE_SIZE = 80

encoded_as(fixed(ID_SIZE), AtxId, NodeId, TransactionId, PoetProofRef, Hash32)
encoded_as(fixed(HASH20_SIZE), BallotId, BlockId, ProposalId, Hash20)
encoded_as(fixed(COMPACT_ID_SIZE), CompactProposalId)
encoded_as(fixed(BEACON_SIZE), Beacon)
encoded_as(fixed(ADDRESS_SIZE), Address)
encoded_as(fixed(ED_SIGNATURE_SIZE), EdSignature)
encoded_as(fixed(VRF_SIGNATURE_SIZE), VrfSignature)
encoded_as(c32, LayerId, EpochId, RoundId)

EMPTY_ATX_ID = AtxId(bytes(ID_SIZE))
EMPTY_NODE_ID = NodeId(bytes(ID_SIZE))
EMPTY_BALLOT_ID = BallotId(bytes(HASH20_SIZE))
EMPTY_BLOCK_ID = BlockId(bytes(HASH20_SIZE))
EMPTY_ADDRESS = Address(bytes(ADDRESS_SIZE))
NO_BEACON = Beacon(bytes(BEACON_SIZE))
"""What stands where an epoch has none."""
NO_LAYER = LayerId(0)
"""What stands where no layer is meant."""

_PADDING = bytes(ID_SIZE - HASH20_SIZE)

Id20 = TypeVar("Id20", BallotId, BlockId, ProposalId, Hash20)


def as_hash32(short: Id20) -> Hash32:
    """The 32-byte form of a 20-byte id: in hashes over lists, as a key of the store and of a fetch request."""
    return Hash32(short + _PADDING)
