"""What became of a transaction that no layer has applied: whether it may still be, and why not. Protocol 10-api, 7."""

from __future__ import annotations

from typing import Any

import pytest

from node.ledger.tables import ACCOUNTS, RESULTS
from node.mempool import transactions as mempool
from node.mempool.account import MAX_PER_NONCE
from node.queries import transactions
from node.queries.transactions import State
from node.schema import OWN, STATE
from node.store.memory import MemoryBackend
from node.store.own import OwnStore
from node.store.store import Store
from node.store.stores import Stores
from node.store.view import Rows
from protocol.types.ids import Address, LayerId
from protocol.types.templates import METHOD_SPEND, WALLET
from protocol.types.transactions import Account, LayerLimits, RawTx, Transaction, TransactionResult, TxHeader

ALICE, BOB = Address(bytes(4) + b"\x01" * 20), Address(bytes(4) + b"\x02" * 20)
NEXT, BALANCE, GAS = 5, 1000, 100


class World:
    """The rows of a node with one account."""

    def __init__(self) -> None:
        self.stores = Stores(Store(STATE, MemoryBackend()), OwnStore(OWN, MemoryBackend()))
        self.count = 0
        self.put(lambda rows: rows.put(ACCOUNTS, ALICE, Account(LayerId(1), ALICE, NEXT, BALANCE, WALLET, b"key")))

    def put(self, put: Any) -> None:
        rows = Rows(self.stores.view())
        put(rows)
        self.stores.write(rows)

    def came(self, nonce: int, price: int = 1, amount: int = 0, principal: Address = ALICE, received: int = 0) -> RawTx:
        """A transaction that was valid when it came."""
        self.count += 1
        header = TxHeader(principal, WALLET, METHOD_SPEND, nonce, LayerLimits(), GAS, price, amount)
        raw = RawTx.of(f"transaction {self.count}".encode())
        self.put(lambda rows: mempool.put(rows, Transaction(raw, header), received or self.count))
        return raw

    def state(self, raw: RawTx) -> State:
        view = self.stores.view()
        return transactions.state(view, transactions.find(view, raw.id))


@pytest.fixture
def world() -> World:
    return World()


def test_one_that_never_came(world: World) -> None:
    assert world.state(RawTx.of(b"unknown")) is State.UNKNOWN


@pytest.mark.parametrize(
    ("nonce", "amount", "state"),
    (
        (NEXT, 0, State.WAITING),
        (NEXT + 7, BALANCE - GAS, State.WAITING),
        (NEXT, BALANCE - GAS + 1, State.INSUFFICIENT_FUNDS),
        (NEXT - 1, 0, State.INEFFECTUAL),
        (NEXT - 1, BALANCE, State.INEFFECTUAL),
    ),
)
def test_by_its_nonce_and_what_it_spends(world: World, nonce: int, amount: int, state: State) -> None:
    assert world.state(world.came(nonce, amount=amount)) is state


def test_of_an_account_that_has_nothing(world: World) -> None:
    assert world.state(world.came(0, principal=BOB)) is State.INSUFFICIENT_FUNDS


def test_one_that_was_not_valid_in_its_block(world: World) -> None:
    raw = RawTx.of(b"bytes")
    world.put(lambda rows: mempool.put(rows, Transaction(raw), 1))
    assert world.state(raw) is State.REJECTED


def test_the_dearer_one_of_a_nonce_is_preferred_then_the_earlier_one(world: World) -> None:
    first, second, dearer = world.came(NEXT), world.came(NEXT), world.came(NEXT, price=2)
    assert [world.state(one) for one in (first, second, dearer)] == [
        State.CONFLICTING,
        State.CONFLICTING,
        State.WAITING,
    ]
    other = world.came(NEXT + 1)
    assert world.state(other) is State.WAITING
    same, later = world.came(NEXT + 2), world.came(NEXT + 2)
    assert (world.state(same), world.state(later)) == (State.WAITING, State.CONFLICTING)


def test_one_that_cannot_be_paid_for_stands_in_nobodys_way(world: World) -> None:
    first, _ = world.came(NEXT), world.came(NEXT, price=BALANCE)
    assert world.state(first) is State.WAITING


def test_an_applied_one(world: World) -> None:
    raw = world.came(NEXT)
    world.put(lambda rows: rows.put(RESULTS, raw.id, TransactionResult(0, "", GAS, GAS, layer=LayerId(9))))
    assert world.state(raw) is State.APPLIED


def test_no_more_are_looked_at_than_may_be_considered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ones = [world.came(NEXT) for _ in range(MAX_PER_NONCE + 20)]
    read: list[object] = []
    pooled = transactions.pooled

    def counted(view: Any, id: Any) -> Any:
        read.append(id)
        return pooled(view, id)

    monkeypatch.setattr(transactions, "pooled", counted)
    assert world.state(ones[0]) is State.WAITING
    assert len(read) <= MAX_PER_NONCE
