"""Who is known to have broken the rules, and the proofs of it."""

from __future__ import annotations

from dataclasses import dataclass

from node.store.keys import fixed
from node.store.table import Table
from node.store.view import View
from protocol.codec.declare import byte_string, struct, u64
from protocol.types.ids import NodeId
from protocol.types.malfeasance import MAX_PROOF_SIZE


@dataclass(frozen=True, slots=True)
class StoredProof:
    """The first proof against an identity."""

    proof: bytes
    """A MalfeasanceProof."""
    received: int
    """Nanoseconds since 1970."""

    codec = struct(proof=byte_string(MAX_PROOF_SIZE), received=u64)


@dataclass(frozen=True, slots=True)
class Mark:
    """That activations of version 2 contradict each other, for which the network has no proof to hand on."""

    received: int
    """Nanoseconds since 1970."""

    codec = struct(received=u64)


PROOFS: Table[NodeId, StoredProof] = Table(b"mf", "malfeasance proofs", fixed(32), StoredProof.codec)
"""By identity."""
MARKS: Table[NodeId, Mark] = Table(b"mm", "malfeasance marks", fixed(32), Mark.codec)
"""By identity. The reference keeps them in memory alone and forgets them when it stops."""

TABLES = (PROOFS, MARKS)


def has_proof(view: View, identity: NodeId) -> bool:
    """Whether a proof against an identity is stored."""
    return view.has(PROOFS, identity)


def is_malicious(view: View, identity: NodeId) -> bool:
    """Whether an identity is known to have broken the rules, with or without a proof."""
    return view.has(PROOFS, identity) or view.has(MARKS, identity)


def malicious(view: View) -> list[NodeId]:
    """All of them, ascending."""
    return sorted({*view.keys(PROOFS), *view.keys(MARKS)})
