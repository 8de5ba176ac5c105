"""Sharing a layer's rewards: laws, refusals, hostile sizes."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.ledger.errors import LayerRefused
from node.ledger.rewards import CoinbaseReward, distribute, in_order
from protocol.types.blocks import RatNum
from protocol.types.ids import Address, LayerId, NodeId

LAYER = LayerId(8064)


def reward(number: int, num: int, denom: int) -> CoinbaseReward:
    coinbase = Address(bytes(4) + bytes((number % 256,)) * 20)
    return CoinbaseReward(NodeId(number.to_bytes(32)), coinbase, RatNum(num, denom))


weights = st.lists(st.tuples(st.integers(1, 1 << 64), st.integers(1, 1 << 64)), min_size=1, max_size=12)


@given(weights, st.integers(0, 10**12), st.integers(0, 10**12))
def test_rewards_are_exact_and_rounded_down(drawn: list[tuple[int, int]], subsidy: int, fees: int) -> None:
    rewards = [reward(number, *weight) for number, weight in enumerate(drawn)]
    rows = distribute(LAYER, rewards, subsidy, fees)
    whole = sum(Fraction(*weight) for weight in drawn)
    for row, weight in zip(rows, drawn):
        part = Fraction(*weight) / whole
        assert row.total_reward == int((subsidy + fees) * part)
        assert row.layer_reward == int(subsidy * part)
    paid = sum(row.total_reward for row in rows)
    assert subsidy + fees - len(rows) < paid <= subsidy + fees


def test_known_rewards() -> None:
    halves = distribute(LAYER, [reward(1, 1, 2), reward(2, 1, 2)], 477_618_397_593, 0)
    assert [row.total_reward for row in halves] == [238_809_198_796] * 2
    ninth = distribute(LAYER, [reward(1, 9, 10), reward(2, 1, 10)], 477_618_296_206, 0)
    assert [row.total_reward for row in ninth] == [477_618_296_206 * 9 // 10, 477_618_296_206 // 10]


def test_fees_are_shared_like_the_subsidy() -> None:
    rows = distribute(LAYER, [reward(1, 1, 3), reward(2, 2, 3)], 9, 4)
    assert [(row.total_reward, row.layer_reward) for row in rows] == [(4, 3), (8, 6)]


def test_coinbases_come_in_their_order() -> None:
    rewards = [reward(number, 1, 1) for number in (9, 3, 200, 3 + 256)]
    assert [one.coinbase[-1] for one in in_order(rewards)] == [3, 3, 9, 200]


def test_a_block_full_of_odd_denominators_is_shared() -> None:
    """Weights come from outside: their common denominator may have a hundred thousand bits."""
    rewards = [reward(number, 1, (1 << 63) + 2 * number + 1) for number in range(2350)]
    rows = distribute(LAYER, rewards, 10**12, 0)
    assert sum(row.total_reward for row in rows) <= 10**12


@pytest.mark.parametrize(
    ("rewards", "reason"),
    [
        ([reward(1, 1, 0)], "no_weight"),
        ([reward(1, 0, 1), reward(2, 0, 1)], "no_weight"),
        ([reward(1, 1, 1), reward(1, 1, 1)], "duplicate_row"),
    ],
)
def test_rewards_that_cannot_be_paid(rewards: list[CoinbaseReward], reason: str) -> None:
    with pytest.raises(LayerRefused) as caught:
        distribute(LAYER, rewards, 5, 5)
    assert caught.value.reason == reason
