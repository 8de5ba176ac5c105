"""Who is known to have broken the rules, and the proofs of it."""

from __future__ import annotations

from typing import Annotated

from node.store.keys import fixed
from node.store.table import Table
from node.store.view import View
from protocol.codec.declare import Record, record, up_to
from protocol.codec.declare import u64 as fixed_u64
from protocol.types.ids import NodeId
from protocol.types.malfeasance import MAX_PROOF_SIZE


@record
class StoredProof(Record):
    """The first proof against an identity."""

    proof: Annotated[bytes, up_to(MAX_PROOF_SIZE)]
    """A MalfeasanceProof."""
    received: Annotated[int, fixed_u64]
    """Nanoseconds since 1970."""


@record
class Mark(Record):
    """That activations of version 2 contradict each other, for which the network has no proof to hand on."""

    received: Annotated[int, fixed_u64]
    """Nanoseconds since 1970."""


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
