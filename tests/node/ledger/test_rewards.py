"""Sharing a layer's rewards, and checkpoints: laws, refusals, hostile sizes."""

from __future__ import annotations

import base64
import copy
import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.checkpoint import files as checkpoint
from node.ledger.errors import LayerRefused
from node.ledger.rewards import Share, distribute, in_order
from node.ledger.state import MemoryStore
from protocol.types.ids import Address, LayerId, NodeId
from tests.support import vm_world as world

LAYER = LayerId(8064)


def share(number: int, numerator: int, denominator: int) -> Share:
    return Share(Address(bytes(4) + bytes((number % 256,)) * 20), NodeId(number.to_bytes(32)), numerator, denominator)


weights = st.lists(st.tuples(st.integers(1, 1 << 64), st.integers(1, 1 << 64)), min_size=1, max_size=12)


@given(weights, st.integers(0, 10**12), st.integers(0, 10**12))
def test_shares_are_exact_and_rounded_down(drawn: list[tuple[int, int]], subsidy: int, fees: int) -> None:
    shares = [share(number, *weight) for number, weight in enumerate(drawn)]
    rows = distribute(LAYER, shares, subsidy, fees)
    whole = sum(Fraction(*weight) for weight in drawn)
    for row, weight in zip(rows, drawn):
        part = Fraction(*weight) / whole
        assert row.total_reward == int((subsidy + fees) * part)
        assert row.layer_reward == int(subsidy * part)
    paid = sum(row.total_reward for row in rows)
    assert subsidy + fees - len(rows) < paid <= subsidy + fees


def test_known_shares() -> None:
    halves = distribute(LAYER, [share(1, 1, 2), share(2, 1, 2)], 477_618_397_593, 0)
    assert [row.total_reward for row in halves] == [238_809_198_796] * 2
    ninth = distribute(LAYER, [share(1, 9, 10), share(2, 1, 10)], 477_618_296_206, 0)
    assert [row.total_reward for row in ninth] == [477_618_296_206 * 9 // 10, 477_618_296_206 // 10]


def test_coinbases_come_in_their_order() -> None:
    shares = [share(number, 1, 1) for number in (9, 3, 200, 3 + 256)]
    assert [one.coinbase[-1] for one in in_order(shares)] == [3, 3, 9, 200]


def test_a_block_full_of_odd_denominators_is_shared() -> None:
    """Weights come from outside: their common denominator may have a hundred thousand bits."""
    shares = [share(number, 1, (1 << 63) + 2 * number + 1) for number in range(2350)]
    rows = distribute(LAYER, shares, 10**12, 0)
    assert sum(row.total_reward for row in rows) <= 10**12


@pytest.mark.parametrize(
    ("shares", "reason"),
    [
        ([share(1, 1, 0)], "no_weight"),
        ([share(1, 0, 1), share(2, 0, 1)], "no_weight"),
        ([share(1, 1, 1), share(1, 1, 1)], "duplicate_row"),
    ],
)
def test_shares_that_cannot_be_paid(shares: list[Share], reason: str) -> None:
    with pytest.raises(LayerRefused) as caught:
        distribute(LAYER, shares, 5, 5)
    assert caught.value.reason == reason


# ---- checkpoints ----


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


W1 = world.wallet(1)
ATX = {
    "id": b64(b"\1" * 32),
    "epoch": 3,
    "commitmentAtx": b64(b"\2" * 32),
    "marriageAtx": b64(b"\3" * 32),
    "vrfNonce": (1 << 64) - 1,
    "baseTickHeight": 11,
    "tickCount": 12,
    "publicKey": b64(b"\4" * 32),
    "sequence": 0,
    "coinbase": b64(bytes(4) + b"\5" * 20),
    "numUnits": 7,
    "units": {b64(b"\4" * 32): 3, b64(b"\6" * 32): 4},
}
FILE: dict[str, Any] = {
    "command": "grpcurl",
    "version": checkpoint.VERSION,
    "data": {
        "id": "snapshot-1152",
        "atxs": [ATX, {**ATX, "marriageAtx": None}],
        "accounts": [
            {"address": b64(bytes(24)), "balance": (1 << 64) - 1, "nonce": 5, "template": None, "state": None},
            {
                "address": b64(W1.address),
                "balance": 7,
                "nonce": 1,
                "template": b64(W1.template),
                "state": b64(W1.state),
            },
        ],
        "marriages": {
            "12": [
                {
                    "atx": b64(b"\1" * 32),
                    "index": 1,
                    "marriedTo": b64(b"\4" * 32),
                    "signer": b64(b"\6" * 32),
                    "signature": b64(b"\7" * 64),
                }
            ]
        },
    },
}


def test_a_checkpoint_is_read_whole() -> None:
    found = checkpoint.parse(json.dumps(FILE))
    assert found.layer == 1152
    assert found.accounts[0].balance == (1 << 64) - 1
    assert found.accounts[1] == W1.spawned(7, 1, 1152)
    first, second = found.atxs
    assert (first.marriage_atx, second.marriage_atx) == (b"\3" * 32, None)
    assert first.vrf_nonce == (1 << 64) - 1 and dict(first.units) == {b"\4" * 32: 3, b"\6" * 32: 4}
    ((marriage,),) = found.marriages.values()
    assert list(found.marriages) == [12] and marriage.index == 1 and marriage.signature == b"\7" * 64
    without = copy.deepcopy(FILE)
    del without["data"]["marriages"]
    assert checkpoint.parse(json.dumps(without).encode()).marriages == {}


def test_accounts_become_the_ledger_of_the_layer_before() -> None:
    store = MemoryStore()
    found = checkpoint.parse(json.dumps(FILE))
    assert checkpoint.restore(store, found, LayerId(9000)) == 8999
    assert store.account(W1.address) == W1.spawned(7, 1, 8999)
    assert store.last_applied() is None
    with pytest.raises(LayerRefused):
        checkpoint.restore(store, found, LayerId(9000))
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.restore(MemoryStore(), found, LayerId(0))


def changed(*path: Any, to: Any) -> str:
    """The file with one entry changed; ... takes it away."""
    document = copy.deepcopy(FILE)
    at: Any = document
    for step in path[:-1]:
        at = at[step]
    if to is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "reason", "said"),
    [
        ("{", "json", "no JSON"),
        ("[" * 100_000, "json", "no JSON"),
        ("[]", "type", "checkpoint is a list"),
        (changed("version", to="2.0"), "version", "'2.0'"),
        (changed("command", to=...), "missing", "checkpoint.command"),
        (changed("data", to=...), "missing", "checkpoint.data"),
        (changed("data", "accounts", to=...), "missing", "checkpoint.data.accounts"),
        (changed("data", "atxs", to=...), "missing", "checkpoint.data.atxs"),
        (changed("data", "id", to="1152"), "range", "snapshot-"),
        (changed("data", "id", to=f"snapshot-{1 << 32}"), "range", "snapshot-"),
        (changed("data", "id", to="snapshot-" + "9" * 5000), "range", "snapshot-"),
        (
            json.dumps(FILE).replace("1152", "9" * 5000).replace('"sequence": 0', '"sequence": ' + "9" * 5000),
            "json",
            "",
        ),
        (changed("data", "accounts", 1, "balance", to=-1), "range", "accounts[1].balance"),
        (changed("data", "accounts", 1, "balance", to=1 << 64), "range", "64 bits"),
        (changed("data", "accounts", 1, "balance", to=True), "range", "accounts[1].balance"),
        (changed("data", "accounts", 1, "nonce", to=1.5), "type", "accounts[1].nonce"),
        (changed("data", "accounts", 1, "address", to=b64(bytes(20))), "length", "20 bytes, expected 24"),
        (changed("data", "accounts", 1, "address", to="????"), "type", "no base64"),
        (changed("data", "accounts", 1, "address", to=b64(bytes(24))), "duplicate", "accounts[1]"),
        (changed("data", "accounts", 1, "state", to=None), "type", "the other is not"),
        (changed("data", "accounts", 1, "state", to=b64(bytes(10_001))), "length", "10001 bytes"),
        (changed("data", "accounts", 1, to=5), "type", "accounts[1] is a int"),
        (changed("data", "atxs", 0, "vrfNonce", to=...), "missing", "atxs[0].vrfNonce"),
        (changed("data", "atxs", 1, to=ATX), "duplicate", "atxs[1]"),
        (changed("data", "atxs", 0, "units", to={"x": 1}), "type", "units.x"),
        (changed("data", "marriages", to={"x": []}), "type", "marriages.x"),
        (changed("data", "marriages", "12", 0, "signature", to=b64(bytes(63))), "length", "63 bytes"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_named(text: str, reason: str, said: str) -> None:
    with pytest.raises(checkpoint.CheckpointError) as caught:
        checkpoint.parse(text)
    assert caught.value.reason == reason
    assert said in str(caught.value)
