"""Where the objects of each kind are kept, and the bytes that are served of them. Protocol 09a, section 4.2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from node.activation.tables import ATXS, BLOBS, POET_BLOBS, POETS
from node.malfeasance.tables import PROOFS
from node.mempool.handler import BLOCK_TRANSACTIONS
from node.mempool.tables import TRANSACTIONS
from node.mesh.tables import BALLOTS, BLOCKS
from node.store.table import Table
from node.store.view import View
from protocol.types.fetch import Hint
from protocol.types.ids import HASH20_SIZE, AtxId, NodeId, PoetProofRef, TransactionId


@dataclass(frozen=True, slots=True)
class Blobs:
    """The objects of one kind. Ids have 32 bytes."""

    has: Callable[[View, bytes], bool]
    """Whether an object is here, so that it need not be asked for."""
    get: Callable[[View, bytes], bytes | None]
    """Its bytes as they were sent; None where they are not here, as of what a checkpoint has restored."""


Sources = Mapping[str, Blobs]
"""By `protocol.types.fetch.Hint`."""

ON_THE_WIRE: Mapping[str, str] = {BLOCK_TRANSACTIONS: Hint.TX}
"""Kinds that are judged in a way of their own, and asked for as another one."""


def stored() -> dict[str, Blobs]:
    """The kinds that the tables of these rooms keep. Those of proposals and active sets are added by their owner."""
    return {
        Hint.ATX: Blobs(_in(ATXS), lambda view, id: view.get(BLOBS, AtxId(id))),
        Hint.POET: Blobs(_in(POETS), lambda view, id: view.get(POET_BLOBS, PoetProofRef(id))),
        Hint.MALFEASANCE: Blobs(_in(PROOFS), _proof),
        Hint.BALLOT: short_ids(BALLOTS),
        Hint.BLOCK: short_ids(BLOCKS),
        Hint.TX: Blobs(_is_valid_transaction, _transaction),
        BLOCK_TRANSACTIONS: Blobs(_in(TRANSACTIONS), _transaction),
    }


def short_ids(table: Table[Any, Any]) -> Blobs:
    """Of a table by ids of 20 bytes, whose rows are the objects themselves, with nothing added."""
    return Blobs(
        lambda view, id: (short := unpadded(id)) is not None and view.has(table, short),
        lambda view, id: None if (short := unpadded(id)) is None else view.read(table, short),
    )


def unpadded(id: bytes) -> bytes | None:
    """An id of 20 bytes, which is asked for with zeros behind it; None where it is none."""
    return None if any(id[HASH20_SIZE:]) else id[:HASH20_SIZE]


def _in(table: Table[Any, Any]) -> Callable[[View, bytes], bool]:
    return lambda view, id: view.has(table, id)


def _proof(view: View, id: bytes) -> bytes | None:
    row = view.get(PROOFS, NodeId(id))
    return None if row is None else row.proof


def _transaction(view: View, id: bytes) -> bytes | None:
    row = view.get(TRANSACTIONS, TransactionId(id))
    return None if row is None else row.raw


def _is_valid_transaction(view: View, id: bytes) -> bool:
    """What only a block holds, and was not valid then, is asked for again by proposals."""
    row = view.get(TRANSACTIONS, TransactionId(id))
    return row is not None and row.header is not None
