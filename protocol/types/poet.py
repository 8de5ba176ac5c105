"""Proofs of sequential work as a PoET hands them out and nodes exchange them, and certificates for its users.

The reference of a proof is over its own encoding, without who made it for what: it is the challenge of the proof of
space, and what an activation transaction names. Protocol 02-poet, sections 1 and 4.1; 02-poet-client, sections 5 to 8;
03-encoding-and-types, section 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from protocol.codec.declare import Record, c64, record, up_to
from protocol.crypto.hashing import hash32

from .ids import ID_SIZE, EdSignature, Hash32, PoetProofRef

SECURITY_PARAM = 150
"""T: the number of proven leaves of every proof on the network."""

NODE_SIZE = ID_SIZE
"""Bytes of a leaf, a node and a root."""

MAX_PROVEN_LEAVES = SECURITY_PARAM
MAX_PROOF_NODES = 5400
MAX_MEMBERSHIP_NODES = 32
MAX_SERVICE_ID_SIZE = 32
MAX_ROUND_ID_SIZE = 32
MAX_CERTIFICATE_KEY_SIZE = 32

Node = Annotated[bytes, up_to(NODE_SIZE)]
"""Normally 32 bytes; fewer are let through and make a proof that does not hold."""


@record
class MerkleProof(Record):
    """Some leaves of a tree, and the nodes that with them give the root, in post-order."""

    root: Node
    """The root of the tree."""
    proven_leaves: Annotated[tuple[Node, ...], up_to(MAX_PROVEN_LEAVES)]
    """In the order of their positions."""
    proof_nodes: Annotated[tuple[Node, ...], up_to(MAX_PROOF_NODES)]
    """What is missing to compute the root."""


EMPTY_PROOF = MerkleProof(b"", (), ())
"""What a round without a worker ends with."""


@record
class PoetProof(Record):
    """A proof that so many leaves were made one after another."""

    merkle_proof: MerkleProof
    """The leaves that were drawn."""
    leaf_count: Annotated[int, c64]
    """Leaves of the whole tree: the ticks of the round."""

    def ref(self) -> PoetProofRef:
        """What names the proof: the hash of its encoding. Raises CodecError when a field is over its limit."""
        return PoetProofRef(hash32(self.codec.encode(self)))


@record
class PoetProofMessage(Record):
    """A proof with who made it (neither the id nor the signature is checked by anybody), and for what."""

    proof: PoetProof
    """The proof."""
    service_id: Annotated[bytes, up_to(MAX_SERVICE_ID_SIZE)]
    """The public key of the PoET, 0 to 32 bytes."""
    round_id: Annotated[bytes, up_to(MAX_ROUND_ID_SIZE)]
    """A decimal number in ASCII; up to 32 bytes of any kind are accepted."""
    statement: Hash32
    """The root of the round's membership tree."""
    signature: EdSignature = EdSignature(bytes(64))
    """Unused: 64 zero bytes."""

    def ref(self) -> PoetProofRef:
        """The reference of the proof in it."""
        return self.proof.ref()


@record
class MembershipProof(Record):
    """That a challenge is among the members of a round. `MerkleProofV1` of the specification."""

    nodes: Annotated[Sequence[Hash32], up_to(MAX_MEMBERSHIP_NODES)]
    """Siblings, the lowest first."""
    leaf_index: Annotated[int, c64]
    """The challenge's place among the members."""


@record
class PoetCertificate(Record):
    """A certifier's word that a node holds a proof of space. `CertOnWire` of the specification."""

    pubkey: Annotated[bytes, up_to(MAX_CERTIFICATE_KEY_SIZE)]
    """The node's id."""
    expiration: Annotated[int, c64] | None = None
    """Unix seconds as an unsigned 64-bit integer; None: never."""
