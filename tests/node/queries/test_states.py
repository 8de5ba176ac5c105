"""What became of transactions and layers, who is convicted; and pages after layers were taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.activation.tables import ATXS, put_atx
from node.ledger import state
from node.ledger.tables import ACCOUNTS, RESULTS, TOUCHED
from node.malfeasance.tables import MARKS, PROOFS, Mark, StoredProof
from node.mempool import transactions as mempool
from node.mempool.tables import TRANSACTIONS, UNAPPLIED, StoredTransaction
from node.mesh.tables import BLOCKS
from node.queries import accounts, activations, layers, malfeasance, transactions
from node.queries.pages import Layers, Page
from node.store.errors import StoreDamaged
from node.store.memory import MemoryBackend
from node.store.view import Rows, View
from protocol.types.blocks import InnerBlock
from protocol.types.ids import Address, LayerId, NodeId, TransactionId
from tests.support.imported_chain import imported_chain
from tests.support.node_stores import stores_over

GENESIS = LayerId(15)


@pytest.fixture
def rows() -> Rows:
    """A chain of which rows may be changed."""
    return Rows(imported_chain().stores.view())


def test_what_became_of_a_transaction(rows: Rows) -> None:
    applied = next(iter(rows.keys(RESULTS)))
    known = transactions.find(rows, applied)
    assert known is not None and known.header is not None and known.result is not None
    assert transactions.state(rows, known) is transactions.State.APPLIED
    assert transactions.state(rows, transactions.find(rows, TransactionId(bytes(32)))) is transactions.State.UNKNOWN
    newest = state.account(rows, known.header.principal)
    assert newest is not None
    states = {}
    for nonce in (newest.next_nonce - 1, newest.next_nonce, newest.next_nonce + 7):
        id = TransactionId(nonce.to_bytes(32, "big"))
        rows.put(TRANSACTIONS, id, replace(known.stored, header=replace(known.header, nonce=nonce)))
        states[nonce - newest.next_nonce] = transactions.state(rows, transactions.find(rows, id))
    waiting = transactions.State.WAITING
    assert states == {-1: transactions.State.INEFFECTUAL, 0: waiting, 7: waiting}
    rows.put(TRANSACTIONS, TransactionId(b"\1" * 32), StoredTransaction(b"x", None, 1))
    found = transactions.find(rows, TransactionId(b"\1" * 32))
    assert found is not None and (found.layer, found.block, found.raw) == (None, None, b"x")
    assert transactions.state(rows, found) is transactions.State.REJECTED


def test_accounts_are_told_as_they_were(rows: Rows) -> None:
    recorded = imported_chain().document["accounts"]
    for layer in (0, 17, 30, 100):
        expected: dict[bytes, tuple[int, int, int]] = {}
        for row in sorted(recorded, key=lambda row: row["layer_updated"]):
            if row["layer_updated"] <= layer:
                said = row["layer_updated"], int(row["balance"]), int(row["next_nonce"])
                expected[bytes.fromhex(row["address"])] = said
        found = {one.address: (one.layer, one.balance, one.next_nonce) for one in accounts.everyone(rows, layer)}
        assert found == expected and list(found) == sorted(found)
    assert [one.address for one in accounts.everyone(rows)] == list(rows.keys(ACCOUNTS))
    assert accounts.projected(rows, Address(bytes(24))) == (0, 0)


def test_layers_that_were_taken_back_are_on_no_page(rows: Rows) -> None:
    last = LayerId(40)
    ids = state.revert(rows, last)
    mempool.set_pending(rows, ids)
    assert ids
    assert all(rows.has(UNAPPLIED, id) for id in ids)
    left = [one.id for one in transactions.page(rows, layers=Layers(first=LayerId(0)))]
    assert sorted(left) == list(rows.keys(RESULTS))
    touched = {(address, result.layer, id) for id, result in rows.scan(RESULTS) for address in result.addresses[1:]}
    assert {(*key, id) for key, id in rows.find(TOUCHED)} == touched
    assert max(one.layer for one in accounts.page(rows)) <= last
    assert len(list(accounts.page(rows))) == len(list(rows.keys(ACCOUNTS)))
    waiting = [one.id for one in transactions.page(rows, page=Page(0, len(list(rows.keys(UNAPPLIED)))))]
    assert waiting == list(rows.keys(UNAPPLIED))


def test_a_layer_with_several_blocks_comes_once_for_each(rows: Rows) -> None:
    for height in (1, 2):
        for layer in (20, 22):
            block = InnerBlock(LayerId(layer), height, (), ())
            rows.put(BLOCKS, block.id(), block)
    asked = Layers(LayerId(19), LayerId(22))
    expected = [19, 20, 20, 20, 21, 22, 22, 22]
    for is_descending in (False, True):
        found = [one.layer for one in layers.page(rows, GENESIS, asked, is_descending)]
        assert found == (expected[::-1] if is_descending else expected)
        assert [one.layer for one in layers.page(rows, GENESIS, asked, is_descending, Page(2, 3))] == found[2:5]
    assert len(layers.blocks(rows, LayerId(20))) == 3


def test_what_a_layer_is_known_to_be(rows: Rows) -> None:
    applied = layers.facts(rows, LayerId(17))
    assert applied.is_applied and applied.is_processed and applied.has_block and applied.state_hash
    empty = layers.facts(rows, LayerId(16))
    assert empty.is_applied and not empty.has_block and empty.block == bytes(20)
    later = layers.facts(rows, LayerId(1000))
    assert (later.is_applied, later.is_processed, later.block, later.weak_coin) == (False, False, None, None)
    assert layers.newest(rows, LayerId(5000)) == 5000


def test_an_activation_that_is_stored_again_counts_once(rows: Rows) -> None:
    id, row = next(rows.scan(ATXS))
    before = activations.count(rows)
    put_atx(rows, id, row, None)
    assert activations.count(rows) == before
    assert activations.find(rows, id) == activations.KnownAtx(id, row)


def test_who_is_convicted(rows: Rows) -> None:
    first = next(rows.scan(ATXS))[1]
    smeshers = sorted({row.smesher for _, row in rows.scan(ATXS)})
    rows.put(PROOFS, first.smesher, StoredProof(b"no proof", 7))
    rows.put(MARKS, smeshers[0 if smeshers[0] != first.smesher else 1], Mark(8))
    found = list(malfeasance.page(rows))
    assert [(one.smesher, one.received, one.proof, one.properties) for one in found] == [(first.smesher, 7, None, {})]
    assert list(malfeasance.page(rows, [NodeId(bytes(32)), first.smesher])) == found
    assert list(malfeasance.page(rows, page=Page(1))) == []


def test_an_entry_that_leads_nowhere_is_damage(rows: Rows) -> None:
    rows.put(UNAPPLIED, TransactionId(b"\2" * 32), None)
    with pytest.raises(StoreDamaged, match="listed, but it is not stored"):
        list(transactions.page(rows))


def test_questions_of_an_empty_store(empty: View) -> None:
    assert list(transactions.page(empty)) == list(accounts.page(empty)) == list(activations.page(empty)) == []
    assert activations.highest(empty) is None and activations.count(empty) == 0
    assert [one.layer for one in layers.page(empty, GENESIS)] == [GENESIS]
    assert layers.processed(empty) == -1


@pytest.fixture
def empty() -> View:
    """Stores without rows."""
    return stores_over((MemoryBackend(), MemoryBackend())).view()
