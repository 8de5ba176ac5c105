"""Proofs of sequential work as records, and their encoding in SCALE: what a PoET hands out and nodes exchange.

The reference of a proof is over its own encoding, without who made it for what: it is the challenge of the proof of
space, and what an activation transaction names. Protocol 02-poet, sections 1 and 4.1; 02-poet-client, sections 7, 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blake3 import blake3

from protocol.codec.declare import byte_string, c64, fixed, struct, vector

SECURITY_PARAM = 150
"""T: the number of proven leaves of every proof on the network."""

NODE_SIZE = 32
"""Bytes of a leaf, a node and a root."""

MAX_PROVEN_LEAVES = 150
MAX_PROOF_NODES = 5400
MAX_MEMBERSHIP_NODES = 32
MAX_SERVICE_ID_SIZE = 32
MAX_ROUND_ID_SIZE = 32
STATEMENT_SIZE = 32
SIGNATURE_SIZE = 64


@dataclass(frozen=True, slots=True)
class MerkleProof:
    """Some leaves of a tree, and the nodes that with them give the root, in post-order."""

    root: bytes
    proven_leaves: tuple[bytes, ...]
    """In the order of their positions."""
    proof_nodes: tuple[bytes, ...]

    codec = struct(
        root=byte_string(NODE_SIZE),
        proven_leaves=vector(byte_string(NODE_SIZE), MAX_PROVEN_LEAVES),
        proof_nodes=vector(byte_string(NODE_SIZE), MAX_PROOF_NODES),
    )


@dataclass(frozen=True, slots=True)
class PoetProof:
    """A proof that so many leaves were made one after another."""

    merkle_proof: MerkleProof
    leaf_count: int

    codec = struct(merkle_proof=MerkleProof.codec, leaf_count=c64)

    def encode(self) -> bytes:
        """SCALE. Raises CodecError when a list or an element is over its limit."""
        return PoetProof.codec.encode(self)

    def ref(self) -> bytes:
        """The 32 bytes that name the proof: BLAKE3 of its encoding. Raises CodecError as `encode`."""
        return blake3(self.encode()).digest()


@dataclass(frozen=True, slots=True)
class PoetProofMessage:
    """A proof with who made it (neither the id nor the signature is checked by anybody), and for what."""

    proof: PoetProof
    service_id: bytes
    """The public key of the PoET, 0 to 32 bytes."""
    round_id: bytes
    """A decimal number in ASCII; up to 32 bytes of any kind are accepted."""
    statement: bytes
    """The root of the round's membership tree, 32 bytes."""
    signature: bytes = bytes(SIGNATURE_SIZE)
    """Unused: 64 zero bytes."""

    codec = struct(
        proof=PoetProof.codec,
        service_id=byte_string(MAX_SERVICE_ID_SIZE),
        round_id=byte_string(MAX_ROUND_ID_SIZE),
        statement=fixed(STATEMENT_SIZE),
        signature=fixed(SIGNATURE_SIZE),
    )

    def encode(self) -> bytes:
        """SCALE. Raises CodecError when a field is over its limit or has a wrong length."""
        return PoetProofMessage.codec.encode(self)

    def ref(self) -> bytes:
        """The reference of the proof in it."""
        return self.proof.ref()


@dataclass(frozen=True, slots=True)
class MembershipProof:
    """That a challenge is among the members of a round: siblings from the bottom up."""

    nodes: Sequence[bytes]
    leaf_index: int

    codec = struct(nodes=vector(fixed(NODE_SIZE), MAX_MEMBERSHIP_NODES), leaf_index=c64)

    def encode(self) -> bytes:
        """SCALE. Raises CodecError."""
        return MembershipProof.codec.encode(self)


def decode_proof(data: bytes) -> PoetProof:
    """A proof from all of `data`. Raises CodecError, which names the field."""
    return PoetProof.codec.decode(data)


def decode_message(data: bytes) -> PoetProofMessage:
    """A message from all of `data`. Raises CodecError, which names the field."""
    return PoetProofMessage.codec.decode(data)


def decode_membership(data: bytes) -> MembershipProof:
    """A membership proof from all of `data`. Raises CodecError, which names the field."""
    return MembershipProof.codec.decode(data)
