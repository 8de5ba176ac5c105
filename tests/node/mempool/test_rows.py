"""Transactions as rows come back as they were put, and rows that are cut are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mempool.tables import StoredTransaction, TransactionRow
from protocol.types.transactions import LayerLimits, TxHeader

u64 = st.integers(0, 2**64 - 1)
u32 = st.integers(0, 2**32 - 1)
addresses = st.binary(min_size=24, max_size=24)
limits = st.builds(LayerLimits, u32, u32) | st.just(LayerLimits())
headers = st.builds(TxHeader, addresses, addresses, st.integers(0, 255), u64, limits, u64, u64, u64)
rows = st.builds(StoredTransaction, st.binary(max_size=40), st.none() | headers, u64)


@given(rows)
def test_a_row_comes_back(row: StoredTransaction) -> None:
    assert TransactionRow().decode(TransactionRow().encode(row)) == row


@given(rows, st.data())
def test_a_row_without_its_end_is_refused(row: StoredTransaction, data: st.DataObject) -> None:
    encoded = TransactionRow().encode(row)
    cut = data.draw(st.integers(0, len(encoded) - len(row.raw) - 1))
    with pytest.raises(ValueError, match="or more"):
        TransactionRow().decode(encoded[:cut])


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        TransactionRow().encode(StoredTransaction(b"", None, -1))
    header = TxHeader(bytes(24), bytes(24), 0, 2**64, LayerLimits(), 0, 0, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not fit"):
        TransactionRow().encode(StoredTransaction(b"", header, 0))
