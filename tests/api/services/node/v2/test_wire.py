"""Transactions as bytes that are kept: always those of what is stored now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.services.node.addresses import Addresses
from api.services.node.v2 import wire
from api.services.node.v2.package import V2ALPHA1
from api.services.node.v2.wire import Wire, list_of
from node.mempool.tables import StoredTransaction
from node.queries.transactions import KnownTransaction
from protocol.types.ids import BlockId, LayerId
from protocol.types.transactions import TransactionResult, TxHeader, transaction_id
from tests.support.imported_chain import ImportedChain

RESULT = TransactionResult(0, "", 10, 20, BlockId(b"\x01" * 20), LayerId(9), (bytes(24),))


@pytest.fixture
def known(chain: ImportedChain) -> KnownTransaction:
    """An applied transaction."""
    row = next(row for row in chain.document["transactions"] if row["result_encoded"])
    raw = bytes.fromhex(row["encoded"])
    header = TxHeader.codec.decode(bytes.fromhex(row["header_encoded"]))
    return KnownTransaction(transaction_id(raw), StoredTransaction(raw, header, 1), RESULT)


def test_a_result_is_that_of_the_last_application(known: KnownTransaction) -> None:
    """A layer is taken back, and applied with another block, or the same over another state."""
    kept = Wire(Addresses("stest"))
    for result in (RESULT, replace(RESULT, fee=21), replace(RESULT, status=1, message="no balance"), RESULT):
        shown = V2ALPHA1.TransactionResponse.FromString(
            kept.response(replace(known, result=result), with_result=True, state=6)
        )
        assert (shown.tx_result.fee, shown.tx_result.message) == (result.fee, result.message)
        assert shown.tx_result.status == (1 if result.status == 0 else 2) and shown.tx_state == 6
    plain = V2ALPHA1.TransactionResponse.FromString(kept.response(known))
    assert not plain.HasField("tx_result") and not plain.HasField("tx_state")


def test_a_header_that_comes_later_is_shown_from_then_on(known: KnownTransaction) -> None:
    kept = Wire(Addresses("stest"))
    unparsed = replace(known, stored=replace(known.stored, header=None))
    first = V2ALPHA1.TransactionResponse.FromString(kept.response(unparsed)).tx
    second = V2ALPHA1.TransactionResponse.FromString(kept.response(known)).tx
    assert first.id == second.id == known.id and first.raw == known.raw
    assert not first.principal and first.type and second.principal


def test_bytes_that_are_no_call_show_what_is_known(known: KnownTransaction) -> None:
    kept = Wire(Addresses("stest"))
    for raw in (b"", b"\0", bytes(26), b"\0" + bytes(24) + b"\x1c" + bytes(99), bytes(25) + b"\xff"):
        odd = KnownTransaction(transaction_id(raw), StoredTransaction(raw, None, 1), None)
        shown = V2ALPHA1.TransactionResponse.FromString(kept.response(odd)).tx
        assert (shown.id, shown.raw, shown.type) == (odd.id, raw, 0) and not shown.HasField("contents")


@pytest.mark.parametrize("size", (0, 1, 127, 128, 300, 16_383, 16_384, 70_000))
def test_a_list_of_responses_of_any_length(size: int) -> None:
    one = V2ALPHA1.TransactionResponse(tx=V2ALPHA1.Transaction(raw=bytes(size)))
    assert list(V2ALPHA1.TransactionList.FromString(list_of([one.SerializeToString()] * 3)).transactions) == [one] * 3


def test_no_more_are_kept_than_said(known: KnownTransaction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "KEPT", 8)
    kept = Wire(Addresses("stest"))
    for number in range(30):
        kept.response(replace(known, id=transaction_id(bytes([number]))))
    assert kept._shown.cache_info().currsize == 8
