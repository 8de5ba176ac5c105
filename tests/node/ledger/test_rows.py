"""How accounts and results are stored: whatever they are they come back, and bytes that are none are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ledger.rows import AccountRow, ResultRow
from protocol.types.ids import Address, BlockId, LayerId
from protocol.types.transactions import Account, TransactionResult
from tests.support import vm_world as world

ADDRESSES = st.binary(min_size=24, max_size=24).map(Address)
LAYERS = st.integers(0, (1 << 32) - 1).map(LayerId)
U64 = st.integers(0, (1 << 64) - 1)
ACCOUNTS = st.builds(
    Account,
    layer=LAYERS,
    address=ADDRESSES,
    next_nonce=U64,
    balance=U64,
    template=st.none() | ADDRESSES,
    state=st.binary(max_size=400),
)
RESULTS = st.builds(
    TransactionResult,
    status=st.integers(0, 255),
    message=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    gas=U64,
    fee=U64,
    block=st.binary(min_size=20, max_size=20).map(BlockId),
    layer=LAYERS,
    addresses=st.lists(ADDRESSES, max_size=10).map(tuple),
)


@given(ACCOUNTS)
def test_an_account_comes_back(account: Account) -> None:
    assert AccountRow().decode(AccountRow().encode(account)) == account


@given(RESULTS)
def test_a_result_comes_back(result: TransactionResult) -> None:
    assert ResultRow().decode(ResultRow().encode(result)) == result


@pytest.mark.parametrize("codec", [AccountRow(), ResultRow()])
@given(data=st.binary(max_size=120))
def test_bytes_are_a_row_or_refused(codec: Any, data: bytes) -> None:
    try:
        row = codec.decode(data)
    except ValueError:
        return
    assert codec.decode(codec.encode(row)) == row


def test_a_row_that_was_cut_is_refused() -> None:
    row = AccountRow().encode(world.wallet(1).spawned(5))
    state_at = len(row) - 32
    for size in range(state_at):
        with pytest.raises(ValueError, match="bytes, expected"):
            AccountRow().decode(row[:size])
    result = ResultRow().encode(TransactionResult(0, "", 1, 1, addresses=(Address(bytes(24)),)))
    for size in range(len(result)):
        with pytest.raises(ValueError, match="bytes, expected"):
            ResultRow().decode(result[:size])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        AccountRow().encode(Account(balance=1 << 64))
    with pytest.raises(ValueError, match="does not fit"):
        ResultRow().encode(TransactionResult(0, "", 1 << 64, 0))
