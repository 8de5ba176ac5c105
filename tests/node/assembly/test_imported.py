"""Rows that are taken from databases of the original are those that a node makes of the same chain by itself."""

from __future__ import annotations

from dataclasses import replace

from node.mempool.tables import PENDING, TRANSACTIONS
from node.mesh.tables import VALIDITY
from node.proposals.tables import ACTIVE_SET_EPOCHS, ACTIVE_SETS
from node.store.view import View
from node.sync.tables import TABLES as SYNC
from tests.support.imported_chain import imported_chain
from tests.support.recorded_chain import Replay

MORE = (ACTIVE_SETS, ACTIVE_SET_EPOCHS, VALIDITY)
"""Of these the record has some more: sets that no ballot names, and what tortoise decided in layers after the last."""


def test_a_chain_that_is_taken_has_the_rows_of_one_that_was_lived_through(whole_chain: Replay) -> None:
    stores = imported_chain().stores
    snapshot = stores.state.snapshot()
    timed = tuple(table.prefix for table in (*SYNC, TRANSACTIONS, PENDING))
    found = {key: row for key, row in snapshot.scan(b"", None, False) if not key.startswith(timed)}
    found |= _untimed(stores.view())
    made = whole_chain.everything()
    differing = {key for key in found.keys() & made.keys() if found[key] != made[key]}
    assert not made.keys() - found.keys() and not differing
    more = tuple(table.prefix for table in MORE)
    assert [key for key in found.keys() - made.keys() if not key.startswith(more)] == []


def _untimed(view: View) -> dict[bytes, bytes]:
    """Rows of the mempool without the time of reception, as `Replay.everything` has them."""
    found = {
        TRANSACTIONS.prefix + id: TRANSACTIONS.row.encode(replace(row, received=0))
        for id, row in view.scan(TRANSACTIONS)
    }
    for principal, nonce, _, id in view.keys(PENDING):
        found[PENDING.prefix + principal + nonce.to_bytes(8, "big") + id] = b""
    return found
