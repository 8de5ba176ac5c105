"""Proofs of sequential work as records, and their encoding in SCALE: what a PoET hands out and nodes exchange.

The reference of a proof is over its own encoding, without who made it for what: it is the challenge of the proof of
space, and what an activation transaction names. Protocol 02-poet, sections 1 and 4.1; 02-poet-client, sections 7, 8.
"""

from __future__ import annotations

from dataclasses import dataclass

from blake3 import blake3

from .codec import Reader, Writer

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


@dataclass(frozen=True, slots=True)
class PoetProof:
    """A proof that so many leaves were made one after another."""

    merkle_proof: MerkleProof
    leaf_count: int

    def encode(self) -> bytes:
        """SCALE. Raises CodecError when a list or an element is over its limit."""
        writer = Writer("PoetProof")
        _write_proof(writer, self)
        return writer.bytes()

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

    def encode(self) -> bytes:
        """SCALE. Raises CodecError when a field is over its limit or has a wrong length."""
        writer = Writer("PoetProofMessage")
        _write_proof(writer, self.proof)
        writer.byte_string("PoetServiceID", self.service_id, MAX_SERVICE_ID_SIZE)
        writer.byte_string("RoundID", self.round_id, MAX_ROUND_ID_SIZE)
        writer.raw("Statement", self.statement, STATEMENT_SIZE)
        writer.raw("Signature", self.signature, SIGNATURE_SIZE)
        return writer.bytes()

    def ref(self) -> bytes:
        """The reference of the proof in it."""
        return self.proof.ref()


@dataclass(frozen=True, slots=True)
class MembershipProof:
    """That a challenge is among the members of a round: siblings from the bottom up."""

    nodes: tuple[bytes, ...]
    leaf_index: int

    def encode(self) -> bytes:
        """SCALE. Raises CodecError."""
        writer = Writer("MerkleProof")
        writer.raw_list("Nodes", self.nodes, MAX_MEMBERSHIP_NODES, NODE_SIZE)
        return writer.compact("LeafIndex", self.leaf_index).bytes()


def decode_proof(data: bytes) -> PoetProof:
    """A proof from all of `data`. Raises CodecError, which names the field."""
    reader = Reader(data, "PoetProof")
    proof = _read_proof(reader)
    reader.end()
    return proof


def decode_message(data: bytes) -> PoetProofMessage:
    """A message from all of `data`. Raises CodecError, which names the field."""
    reader = Reader(data, "PoetProofMessage")
    message = PoetProofMessage(
        _read_proof(reader),
        reader.byte_string("PoetServiceID", MAX_SERVICE_ID_SIZE),
        reader.byte_string("RoundID", MAX_ROUND_ID_SIZE),
        reader.raw("Statement", STATEMENT_SIZE),
        reader.raw("Signature", SIGNATURE_SIZE),
    )
    reader.end()
    return message


def decode_membership(data: bytes) -> MembershipProof:
    """A membership proof from all of `data`. Raises CodecError, which names the field."""
    reader = Reader(data, "MerkleProof")
    proof = MembershipProof(reader.raw_list("Nodes", MAX_MEMBERSHIP_NODES, NODE_SIZE), reader.compact("LeafIndex"))
    reader.end()
    return proof


def _write_proof(writer: Writer, proof: PoetProof) -> None:
    merkle = proof.merkle_proof
    writer.byte_string("MerkleProof.Root", merkle.root, NODE_SIZE)
    writer.byte_strings("MerkleProof.ProvenLeaves", merkle.proven_leaves, MAX_PROVEN_LEAVES, NODE_SIZE)
    writer.byte_strings("MerkleProof.ProofNodes", merkle.proof_nodes, MAX_PROOF_NODES, NODE_SIZE)
    writer.compact("LeafCount", proof.leaf_count)


def _read_proof(reader: Reader) -> PoetProof:
    return PoetProof(
        MerkleProof(
            reader.byte_string("MerkleProof.Root", NODE_SIZE),
            reader.byte_strings("MerkleProof.ProvenLeaves", MAX_PROVEN_LEAVES, NODE_SIZE),
            reader.byte_strings("MerkleProof.ProofNodes", MAX_PROOF_NODES, NODE_SIZE),
        ),
        reader.compact("LeafCount"),
    )
