"""The mempool: laws of the conservative state on random sequences, both selections, the order in a block."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.ledger import state, tables
from node.ledger.state_hash import EMPTY
from node.mempool import selection
from node.mempool import transactions as stored
from node.mempool.account import MAX_NONCES, UNTAGGED, AccountCache
from node.mempool.errors import MempoolError
from node.mempool.pool import Mempool, projection_of
from node.mempool.shuffle import MersenneTwister, shuffle
from node.mempool.transaction import PoolTransaction
from node.store.keys import ONLY
from node.store.view import Rows
from protocol.types.ids import EMPTY_ADDRESS, Address, BlockId, LayerId, ProposalId, TransactionId
from protocol.types.transactions import Account, LayerLimits, RawTx, Transaction, TransactionResult, TxHeader
from tests.support.node_stores import BACKENDS, Kept, OpenBackend

ADDRESSES = [Address(bytes((number,)) * 24) for number in range(3)]
NOBODY = ProposalId(bytes(20))
BLOCK = BlockId(b"\1" * 20)


def pooled(
    number: int,
    who: int = 0,
    nonce: int = 0,
    gas: int = 10,
    price: int = 1,
    spend: int = 0,
    received: int | None = None,
) -> PoolTransaction:
    header = TxHeader(ADDRESSES[who], EMPTY_ADDRESS, 16, nonce, LayerLimits(), gas, price, spend)
    id = TransactionId(number.to_bytes(32))
    return PoolTransaction.of(Transaction(RawTx(id, b""), header), number if received is None else received)


class Pool:
    """A pool with its rows; the ledger says what `states` say of the first accounts."""

    def __init__(self, *states: tuple[int, int], backend: Any = None) -> None:
        self.kept = Kept(backend)
        self.pool = Mempool()
        for address, (nonce, balance) in zip(ADDRESSES, states):
            self.kept.unit(
                lambda rows, address=address, nonce=nonce, balance=balance: rows.put(  # type: ignore[misc]
                    tables.ACCOUNTS, address, Account(LayerId(0), address, nonce, balance)
                )
            )

    def add(self, one: PoolTransaction) -> bool:
        transaction = Transaction(RawTx(one.id, one.raw), one.header)
        return self.kept.unit(lambda rows: self.pool.add(rows, transaction, one.received))

    def is_stored(self, one: PoolTransaction) -> bool:
        return self.kept.read(lambda view: stored.has(view, one.id))

    def link_proposal(self, layer: int, some: Sequence[PoolTransaction]) -> None:
        ids = [one.id for one in some]
        self.kept.unit(lambda rows: self.pool.link_proposal(rows, LayerId(layer), NOBODY, ids))

    def link_block(self, layer: int, some: Sequence[PoolTransaction]) -> None:
        ids = [one.id for one in some]
        self.kept.unit(lambda rows: self.pool.link_block(rows, LayerId(layer), BLOCK, ids))

    def apply_layer(self, layer: int, some: Sequence[PoolTransaction]) -> None:
        """The rows that the ledger would put, then the pool's."""

        def apply(rows: Rows) -> None:
            for one in some:
                rows.put(tables.RESULTS, one.id, TransactionResult(0, "", 0, 0, BLOCK, LayerId(layer)))
            ids = tuple(one.id for one in some)
            rows.put(tables.LAYERS, LayerId(layer), tables.AppliedLayer(EMPTY, BLOCK, (), ids))
            rows.put(tables.LAST_APPLIED, ONLY, LayerId(layer))
            self.pool.apply_layer(rows, LayerId(layer), some)

        self.kept.unit(apply)

    def revert(self, layer: int) -> None:
        self.kept.unit(lambda rows: self.pool.revert(rows, state.revert(rows, LayerId(layer))))

    def waiting(self) -> dict[Address, list[PoolTransaction]]:
        return self.pool.waiting()

    def projection(self, address: Address) -> tuple[int, int]:
        return self.kept.read(lambda view: self.pool.projection(view, address))

    def restart(self) -> None:
        self.pool = Mempool()
        self.kept.read(self.pool.start)


def ids(transactions: Any) -> list[int]:
    return [int.from_bytes(one.id) for one in transactions]


def test_a_transaction_is_taken_from_its_header() -> None:
    header = TxHeader(ADDRESSES[1], ADDRESSES[2], 16, 5, LayerLimits(), 100, 3, 7)
    raw = RawTx.of(b"raw")
    found = PoolTransaction.of(Transaction(raw, header), 9)
    assert (found.id, found.raw, found.fee, found.spending, found.received) == (raw.id, b"raw", 300, 307, 9)
    with pytest.raises(ValueError, match="header"):
        PoolTransaction.of(Transaction(raw), 9)


def test_the_better_of_two() -> None:
    low, high, later = pooled(1), pooled(2, price=2), pooled(3)
    assert high.is_better_than(low) and not low.is_better_than(high)
    assert low.is_better_than(later) and not later.is_better_than(low)
    assert low.is_better_than(later, b"seed") != later.is_better_than(low, b"seed")


def test_what_is_refused_is_not_stored() -> None:
    waiting = Pool((5, 100))
    for transaction, reason, said in (
        (pooled(1, nonce=4), "bad_nonce", "nonce 4"),
        (pooled(2, nonce=5, spend=91), "insufficient_balance", "101 smidge"),
    ):
        with pytest.raises(MempoolError) as caught:
            waiting.add(transaction)
        assert caught.value.reason == reason and said in str(caught.value)
        assert not waiting.is_stored(transaction) and waiting.pool.account(ADDRESSES[0]) is None
    assert waiting.projection(ADDRESSES[0]) == (5, 100)


def test_a_better_transaction_takes_the_place_and_evicts_what_no_longer_fits() -> None:
    waiting = Pool((0, 100))
    assert waiting.add(pooled(1, nonce=0, spend=20))
    assert waiting.add(pooled(2, nonce=1, spend=50))
    assert not waiting.add(pooled(3, nonce=0, price=1, spend=5)), "kept, but not better"
    assert waiting.add(pooled(4, nonce=0, price=2, spend=30))
    assert ids(waiting.waiting()[ADDRESSES[0]]) == [4]
    assert waiting.projection(ADDRESSES[0]) == (1, 50)
    account = waiting.pool.account(ADDRESSES[0])
    assert account is not None and account.more_in_store
    assert [waiting.is_stored(pooled(number)) for number in (1, 2, 3, 4)] == [True] * 4
    assert [waiting.pool.has(pooled(number).id) for number in (1, 2, 3, 4)] == [False, False, False, True]


def test_the_101st_nonce_waits_in_the_store() -> None:
    waiting = Pool((0, 10**6))
    for number in range(MAX_NONCES):
        assert waiting.add(pooled(number + 1, nonce=number))
    last = pooled(200, nonce=MAX_NONCES)
    assert not waiting.add(last)
    assert waiting.is_stored(last)
    assert waiting.projection(ADDRESSES[0]) == (MAX_NONCES, 10**6 - 10 * MAX_NONCES)


def test_linking_skips_what_is_no_candidate() -> None:
    waiting = Pool((0, 1000))
    for number, nonce, price in ((1, 0, 2), (2, 0, 1), (3, 1, 1)):
        waiting.add(pooled(number, nonce=nonce, price=price))
    waiting.link_proposal(1, [pooled(number) for number in (1, 2, 3)])
    assert waiting.waiting() == {}


def test_tags_of_reverted_layers_are_found_again() -> None:
    """The reference looks only beyond the layer that was the last before, and would propose the transaction again."""
    waiting = Pool((0, 1000))
    waiting.add(pooled(1))
    waiting.link_block(1, [pooled(1)])
    waiting.apply_layer(1, [pooled(1)])
    waiting.revert(0)
    assert waiting.pool.has(pooled(1).id) and waiting.waiting() == {}


def test_the_next_layer_is_one_with_a_block_else_one_with_a_proposal() -> None:
    waiting = Pool((0, 1000))
    one, other = pooled(1), pooled(2)
    for layer in (9, 7):
        waiting.link_proposal(layer, [one])
    for layer in (12, 8, 300):
        waiting.link_block(layer, [one])
    waiting.link_block(5, [other])

    def after(layer: int) -> int:
        return waiting.kept.read(lambda view: stored.next_layer(view, one.id, LayerId(layer)))

    assert [after(layer) for layer in (0, 7, 8, 11, 12, 255, 300)] == [8, 8, 12, 12, 300, 300, 0]
    waiting.link_proposal(400, [one])
    assert after(300) == 400


# ---- laws ----

transactions = st.builds(
    pooled,
    number=st.integers(1, 10**6),
    who=st.integers(0, 2),
    nonce=st.integers(0, 7),
    gas=st.integers(1, 40),
    price=st.integers(0, 4),
    spend=st.integers(0, 200),
)


@given(st.lists(transactions, max_size=25, unique_by=lambda one: one.id), st.data())
@settings(max_examples=100, deadline=None)
def test_candidates_are_always_affordable_in_the_order_of_nonces(drawn: list[PoolTransaction], data: Any) -> None:
    waiting = Pool((0, 500), (2, 300), (1, 10**6))
    for transaction in drawn:
        try:
            waiting.add(transaction)
        except MempoolError:
            assert not waiting.is_stored(transaction)
        if data.draw(st.booleans()) and waiting.is_stored(transaction):
            waiting.link_proposal(data.draw(st.integers(1, 3)), [transaction])
    for address, (nonce, balance) in zip(ADDRESSES, ((0, 500), (2, 300), (1, 10**6))):
        account = waiting.pool.account(address)
        if account is None:
            continue
        left = balance
        for candidate in account.candidates:
            left -= candidate.transaction.spending
            assert left >= 0 and candidate.post_balance == left
            assert waiting.pool.has(candidate.transaction.id)
        nonces = [candidate.nonce for candidate in account.candidates]
        assert nonces == sorted(set(nonces)) and all(one >= nonce for one in nonces)
        assert waiting.projection(address) == (account.next_nonce, left)


@pytest.mark.parametrize("backend", BACKENDS)
@given(st.lists(transactions, max_size=25, unique_by=lambda one: one.id))
@settings(max_examples=40, deadline=None)
def test_a_restart_finds_candidates_for_every_nonce_that_fits(
    backend: OpenBackend, drawn: list[PoolTransaction]
) -> None:
    with backend() as one:
        waiting = Pool((0, 10**6), (0, 10**6), (0, 10**6), backend=one)
        for transaction in drawn:
            waiting.add(transaction)
        before = {address: ids(one) for address, one in waiting.waiting().items()}
        for address in ADDRESSES:
            assert waiting.kept.read(partial(projection_of, principal=address)) == waiting.projection(address)
        waiting.restart()
        assert {address: ids(one) for address, one in waiting.waiting().items()} == before


@pytest.mark.parametrize("backend", BACKENDS)
@given(st.lists(transactions, max_size=20, unique_by=lambda one: one.id), st.data())
@settings(max_examples=40, deadline=None)
def test_a_restart_after_any_layers_finds_what_memory_had(
    backend: OpenBackend, drawn: list[PoolTransaction], data: Any
) -> None:
    """Every account that a layer or a revert has touched is in memory as its rows would make it again."""
    with backend() as one:
        waiting = Pool((0, 500), (2, 300), (1, 10**6), backend=one)
        last = 0
        for place, transaction in enumerate(drawn):
            with suppress(MempoolError):
                waiting.add(transaction)
            match data.draw(st.integers(0, 5)):
                case 0:
                    waiting.link_proposal(last + data.draw(st.integers(1, 3)), drawn[: place + 1])
                case 1:
                    waiting.link_block(last + data.draw(st.integers(1, 3)), drawn[: place + 1])
                case 2:
                    last += 1
                    candidates = [one for own in waiting.waiting().values() for one in own]
                    waiting.apply_layer(last, [one for one in candidates if data.draw(st.booleans())])
                case 3:
                    last = data.draw(st.integers(0, last))
                    waiting.revert(last)
                    before = {address: waiting.pool.account(address) for address in ADDRESSES}
                    waiting.restart()
                    assert {address: waiting.pool.account(address) for address in ADDRESSES} == before
            for address in ADDRESSES:
                assert waiting.kept.read(partial(projection_of, principal=address)) == _projected(waiting, address)


def _projected(waiting: Pool, address: Address) -> tuple[int, int]:
    """What a pool has that begins on these rows."""
    begun = Mempool()
    waiting.kept.read(begun.start)
    return waiting.kept.read(lambda view: begun.projection(view, address))


@given(st.lists(transactions, max_size=30, unique_by=lambda one: one.id), st.integers(0, 300), st.integers(0, 10))
@settings(max_examples=100, deadline=None)
def test_a_proposal_keeps_gas_count_and_nonces(drawn: list[PoolTransaction], gas: int, count: int) -> None:
    waiting = Pool((0, 10**6), (0, 10**6), (0, 10**6))
    for transaction in drawn:
        waiting.add(transaction)
    chosen = selection.for_proposal(waiting.waiting(), gas, count, bytes(range(32)))
    assert sum(one.max_gas for one in chosen) <= gas
    assert len(chosen) <= count and len(set(chosen)) == len(chosen)
    for address in ADDRESSES:
        own = [one.nonce for one in chosen if one.principal == address]
        assert own == sorted(own)
        everything = [one.nonce for one in waiting.waiting().get(address, ())]
        assert own == everything[: len(own)]


@given(st.lists(transactions, max_size=30, unique_by=lambda one: one.id), st.binary(min_size=32, max_size=32))
@settings(max_examples=100, deadline=None)
def test_a_block_holds_the_best_of_each_nonce(drawn: list[PoolTransaction], seed: bytes) -> None:
    ordered = selection.for_block([(one, UNTAGGED) for one in drawn], seed)
    assert {(one.principal, one.nonce) for one in ordered} == {(one.principal, one.nonce) for one in drawn}
    assert all(
        one.fee == max(other.fee for other in drawn if (other.principal, other.nonce) == (one.principal, one.nonce))
        for one in ordered
    )
    for address in ADDRESSES:
        own = [one.nonce for one in ordered if one.principal == address]
        assert all(one < other for one, other in pairwise(own))
    again = selection.for_block([(one, UNTAGGED) for one in reversed(drawn)], seed)
    if len({(one.principal, one.nonce) for one in drawn}) == len(drawn):
        assert again == ordered, "the order in which they came does not matter"


# ---- known answers ----


def test_the_iterator_of_the_reference() -> None:
    fees = {0: ((4, 1), (4, 4), (4, 5)), 1: ((2, 0), (2, 3)), 2: ((4, 0), (3, 0), (2, 1), (5, 3))}
    waiting = {
        ADDRESSES[who]: [
            pooled(10 * who + nonce, who, nonce, gas=1, price=fee, received=time)
            for nonce, (fee, time) in enumerate(own)
        ]
        for who, own in fees.items()
    }
    assert ids(selection.best_first(waiting, 100)) == [20, 0, 1, 2, 21, 10, 22, 23, 11]


def test_an_account_that_needs_too_much_gas_is_passed_over() -> None:
    waiting = {ADDRESSES[0]: [pooled(1, gas=60, price=9), pooled(2, gas=1, nonce=1)], ADDRESSES[1]: [pooled(3, 1)]}
    assert ids(selection.best_first(waiting, 50)) == [3]


def test_the_block_of_the_reference() -> None:
    expected = (
        "08ea037ab3400a575f7d7911a8c7cdc2175c008ea7a98ee24f14611ee5e5339f",
        "8058885d69129db2757b3d5b3fb214d9aaf5640474486ae71cb8a79752474d7b",
        "c3c9b8af8a3d0966dfeeef69d15202e17898d9c2f26e6783c948e59428231252",
        "1c8e203412e9eb00173870dc62f25b9c142ea0c64d7831ac236aab8c94a76865",
        "98f095630e631fd0057304443ebd24798d58d95fa5394f9eecbf75d9a4fa6e29",
        "9a96ccb0ca208ac91e0a0a92f7c6208f83a13a649582b695a56f9c981e39b619",
        "9e8963dbd7566c06e007f0dab910168aab24d1ae9789cb896d2fb24778fc6002",
        "8ec40d3c67bb73595f61912348a48d038a60aeead84ecb1d5e5d2476071a8b73",
        "83f3bb7d51c874fbf2541f69e52e09b810364cf329e55b0f328d072ca465efa9",
        "db6d9aad9dafcb11d1da1c9156caeb5329f6430f6df2b0287b0afb08e0f7c4c4",
    )
    given_ids = sorted(expected, reverse=True)
    waiting = [
        PoolTransaction.of_header(
            TransactionId(bytes.fromhex(id)),
            b"",
            TxHeader(Address(bytes((place,)) * 24), EMPTY_ADDRESS, 16, 0, LayerLimits(), 1, 1, 0),
            0,
        )
        for place, id in enumerate(given_ids)
    ]
    seed = b"block seed " + b"101".rjust(21)
    assert tuple(one.id.hex() for one in selection.for_block([(one, UNTAGGED) for one in waiting], seed)) == expected


def test_what_is_applied_is_left_out_at_the_front_only() -> None:
    seed = bytes(32)
    tagged = [(pooled(number, nonce=number), LayerId(layer)) for number, layer in ((1, 5), (2, 0), (3, 5))]
    assert ids(selection.for_block(tagged, seed)) == [2, 3]


def test_a_block_is_cut_only_where_its_gas_fits_exactly() -> None:
    seed = bytes(32)
    tagged = [(pooled(number, nonce=number), UNTAGGED) for number in range(1, 6)]
    assert len(selection.for_block(tagged, seed, gas_limit=30)) == 3
    assert len(selection.for_block(tagged, seed, gas_limit=31)) == 5, "the count wraps around, as in the network"


def test_the_generator_of_the_reference() -> None:
    assert MersenneTwister((0x12345, 0x23456, 0x34567, 0x45678)).next64() == 7266447313870364031
    seed = bytes(range(32))
    words = [int.from_bytes(seed[at : at + 8], "little") for at in range(0, 32, 8)]
    twister = MersenneTwister(words)
    assert [twister.next64(), twister.next64()] == [8824815632362173673, 15292107639966433522]
    five, ten = list(range(5)), list(range(10))
    shuffle(five, seed)
    shuffle(ten, seed)
    assert (five, ten) == ([0, 1, 3, 2, 4], [1, 4, 3, 6, 0, 2, 7, 8, 5, 9])
    with pytest.raises(ValueError, match="multiple of 8"):
        shuffle(five, b"seed")


@given(st.integers(2, 2000), st.binary(min_size=8, max_size=64).filter(lambda seed: len(seed) % 8 == 0))
@settings(max_examples=20, deadline=None)
def test_a_shuffle_loses_nothing(count: int, seed: bytes) -> None:
    items = list(range(count))
    shuffle(items, seed)
    assert sorted(items) == list(range(count))


def test_an_account_filled_beyond_its_nonces_says_so() -> None:
    account = AccountCache(0, 10**9)
    account.fill((pooled(number + 1, nonce=number), UNTAGGED) for number in range(MAX_NONCES + 5))
    assert len(account.candidates) == MAX_NONCES and account.more_in_store
