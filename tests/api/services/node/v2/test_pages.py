"""Lists: every filter gives what the record of the chain says, and pages give every row once. Protocol 10-api, section
4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.edge.rpc import Status
from api.services.node.v2.package import V2ALPHA1, V2BETA1
from api.services.node.v2.pages import MAX_FILTER
from protocol.types.address import to_text
from protocol.types.transactions import TransactionResult
from tests.support.imported_chain import ImportedChain

from .served import Node

LISTS = (
    "AccountService.List",
    "ActivationService.List",
    "LayerService.List",
    "MalfeasanceService.List",
    "RewardService.List",
    "TransactionService.List",
)
ASC, DESC = 0, 1
NO_ID = bytes(32)
OTHER = bytes(4) + b"\x77" * 20

data = bytes.fromhex
few = settings(max_examples=40, deadline=None)
limits = st.integers(1, 100)
layer_bounds = st.one_of(st.none(), st.integers(0, 70), st.integers(0, (1 << 32) - 1))


def address_of(chain: ImportedChain, hex_: str) -> str:
    return to_text(data(hex_), chain.config.main.network_hrp)


def bounds(**given: int | None) -> dict[str, int]:
    return {name: value for name, value in given.items() if value is not None}


def within(value: int | None, first: int | None, last: int | None, *, is_zero_a_bound: bool = False) -> bool:
    """Whether a number is between bounds; 0 is none unless it is said to be one."""
    low = first if is_zero_a_bound else first or None
    high = last if is_zero_a_bound else last or None
    if low is None and high is None:
        return True
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def some(of: Sequence[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(of), max_size=4)


# ---- transactions ----


@few
@given(choices=st.data(), first=layer_bounds, last=layer_bounds, order=st.sampled_from([ASC, DESC]), limit=limits)
def test_transactions(
    recorded: Node,
    chain: ImportedChain,
    choices: st.DataObject,
    first: int | None,
    last: int | None,
    order: int,
    limit: int,
) -> None:
    rows = chain.document["transactions"]
    touched = {
        row["id"]: [one.hex() for one in TransactionResult.codec.decode(data(row["result_encoded"])).addresses]
        for row in rows
        if row["result_encoded"]
    }
    addresses = sorted({one for each in touched.values() for one in each}) + [OTHER.hex()]
    address = choices.draw(st.one_of(st.none(), st.sampled_from(addresses)), "address")
    ids = choices.draw(some([row["id"] for row in rows] + [NO_ID.hex(), "ab"]), "ids")

    filters: dict[str, Any] = {**bounds(start_layer=first, end_layer=last), "txid": [data(id) for id in ids]}
    if address is not None:
        filters["address"] = address_of(chain, address)
    found = [one.tx.id.hex() for one in recorded.walk("TransactionService.List", limit, sort_order=order, **filters)]

    met = [
        row
        for row in rows
        if (not ids or row["id"] in ids)
        and (address is None or address in touched.get(row["id"], ()))
        and within(row["layer"], first, last, is_zero_a_bound=True)
    ]
    sign = -1 if order == DESC else 1
    met.sort(key=lambda row: (sign * (-1 if row["layer"] is None else row["layer"]), row["id"]))
    assert found == [row["id"] for row in met]


def test_results_and_states_where_they_are_asked_for(recorded: Node, chain: ImportedChain) -> None:
    (plain,) = recorded.ask("TransactionService.List", limit=1, sort_order=DESC).transactions
    assert not plain.HasField("tx_result") and not plain.HasField("tx_state")
    (whole,) = recorded.ask(
        "TransactionService.List", limit=1, sort_order=DESC, include_result=True, include_state=True
    ).transactions
    assert whole.tx == plain.tx
    (row,) = [row for row in chain.document["transactions"] if row["id"] == whole.tx.id.hex()]
    assert (whole.tx_result.layer, whole.tx_result.block.hex()) == (row["layer"], row["block"])
    assert (
        V2ALPHA1.TransactionResponse.DESCRIPTOR.fields_by_name["tx_state"]
        .enum_type.values_by_number[whole.tx_state]
        .name
        == "TRANSACTION_STATE_PROCESSED"
    )


# ---- rewards, activations, layers, accounts ----


@few
@given(choices=st.data(), first=layer_bounds, last=layer_bounds, order=st.sampled_from([ASC, DESC]), limit=limits)
def test_rewards(
    recorded: Node,
    chain: ImportedChain,
    choices: st.DataObject,
    first: int | None,
    last: int | None,
    order: int,
    limit: int,
) -> None:
    rows = chain.document["rewards"]
    by = choices.draw(st.sampled_from(["coinbase", "smesher", None]), "by")
    filters: dict[str, Any] = bounds(start_layer=first, end_layer=last)
    wanted = None
    if by is not None:
        wanted = choices.draw(st.sampled_from(sorted({row[by] for row in rows}) + [OTHER.hex()]), by)
        filters[by] = address_of(chain, wanted) if by == "coinbase" else data(wanted)
    found = list(recorded.walk("RewardService.List", limit, sort_order=order, **filters))

    met = [row for row in rows if within(row["layer"], first, last) and (by is None or row[by] == wanted)]
    layers = [one.layer for one in found]
    assert layers == sorted(layers, reverse=order == DESC)
    assert sorted((one.layer, one.smesher.hex(), one.coinbase, one.total, one.layer_reward) for one in found) == sorted(
        (
            row["layer"],
            row["smesher"],
            address_of(chain, row["coinbase"]),
            int(row["total_reward"]),
            int(row["layer_reward"]),
        )
        for row in met
    )


@few
@given(
    choices=st.data(),
    first=st.integers(0, 12),
    last=st.one_of(st.integers(0, 12), st.just((1 << 32) - 1)),
    limit=limits,
)
def test_activations(
    recorded: Node, chain: ImportedChain, choices: st.DataObject, first: int, last: int, limit: int
) -> None:
    rows = chain.document["atxs"]
    ids = choices.draw(some([row["id"] for row in rows] + [NO_ID.hex(), "ab"]), "ids")
    smeshers = choices.draw(some(sorted({row["smesher"] for row in rows}) + [NO_ID.hex()]), "smeshers")
    coinbases = sorted({row["coinbase"] for row in rows}) + [OTHER.hex()]
    coinbase = choices.draw(st.one_of(st.none(), st.sampled_from(coinbases)), "coinbase")
    filters: dict[str, Any] = {
        "id": [data(id) for id in ids],
        "smesher_id": [data(id) for id in smeshers],
        "coinbase": "" if coinbase is None else address_of(chain, coinbase),
        "start_epoch": first,
        "end_epoch": last,
    }
    found = list(recorded.walk("ActivationService.List", limit, **filters))
    met = [
        row
        for row in rows
        if (not ids or row["id"] in ids)
        and (not smeshers or row["smesher"] in smeshers)
        and (coinbase is None or row["coinbase"] == coinbase)
        and within(row["publish_epoch"], first, last)
    ]
    met.sort(key=lambda row: (row["publish_epoch"], row["id"]))
    assert [(one.publish_epoch, one.id.hex(), one.weight, one.num_units) for one in found] == [
        (row["publish_epoch"], row["id"], int(row["weight"]), row["effective_num_units"]) for row in met
    ]


def test_counts_and_the_highest_activation(recorded: Node, chain: ImportedChain) -> None:
    rows = chain.document["atxs"]
    assert recorded.ask("ActivationService.ActivationsCount").count == len(rows)
    for epoch in range(8):
        count = recorded.ask("ActivationService.ActivationsCount", epoch=epoch).count
        assert count == sum(row["publish_epoch"] == epoch for row in rows)
    heights = [int(row["base_tick_height"]) + int(row["tick_count"]) for row in rows]
    assert recorded.ask("ActivationService.Highest").activation.height == max(heights)


def test_the_highest_of_none_is_the_golden_one(empty: Node, chain: ImportedChain) -> None:
    answer = empty.ask("ActivationService.Highest").activation
    assert answer == V2ALPHA1.Activation(id=chain.parameters.activation.golden_atx)


@few
@given(first=st.integers(0, 80), last=st.integers(0, 80), order=st.sampled_from([ASC, DESC]), limit=limits)
def test_layers(recorded: Node, chain: ImportedChain, first: int, last: int, order: int, limit: int) -> None:
    rows = {row["layer"]: row for row in chain.document["layers"]}
    found = list(recorded.walk("LayerService.List", limit, start_layer=first, end_layer=last, sort_order=order))
    met = sorted((layer for layer in rows if within(layer, first, last)), reverse=order == DESC)
    assert [one.number for one in found] == met
    for one in found:
        row = rows[one.number]
        assert one.state_hash.hex() == (row["state_hash"] or "")
        assert one.cumulative_state_hash.hex() == (row["aggregated_hash"] or "")
        assert one.consensus_hash == one.cumulative_state_hash[:5].hex()


@few
@given(choices=st.data(), limit=limits)
def test_accounts(recorded: Node, chain: ImportedChain, choices: st.DataObject, limit: int) -> None:
    newest: dict[str, Any] = {}
    for row in chain.document["accounts"]:
        if row["address"] not in newest or row["layer_updated"] > newest[row["address"]]["layer_updated"]:
            newest[row["address"]] = row
    wanted = choices.draw(some([*newest, OTHER.hex()]), "addresses")
    found = list(recorded.walk("AccountService.List", limit, addresses=[address_of(chain, one) for one in wanted]))
    met = [row for address, row in newest.items() if not wanted or address in wanted]
    met.sort(key=lambda row: (-row["layer_updated"], row["address"]))
    assert [(one.address, one.current.layer, one.current.balance, one.current.counter) for one in found] == [
        (address_of(chain, row["address"]), row["layer_updated"], int(row["balance"]), int(row["next_nonce"]))
        for row in met
    ]


# ---- what is not answered ----


@pytest.mark.parametrize("package", (V2ALPHA1, V2BETA1), ids=lambda package: package.name)
@pytest.mark.parametrize("name", LISTS)
def test_a_limit_must_be_set_up_to_a_hundred(recorded: Node, name: str, package: Any) -> None:
    assert recorded.refused(name, package) == (Status.INVALID_ARGUMENT, "limit must be set to <= 100")
    assert recorded.refused(name, package, offset=3) == (Status.INVALID_ARGUMENT, "limit must be set to <= 100")
    for limit in (101, 1 << 63):
        assert recorded.refused(name, package, limit=limit) == (Status.INVALID_ARGUMENT, "limit is capped at 100")


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("offset", (1 << 40, 1 << 63, (1 << 64) - 1))
def test_beyond_the_last_row_there_is_nothing(recorded: Node, name: str, offset: int) -> None:
    answer = recorded.ask(name, limit=100, offset=offset)
    assert answer == type(answer)()


@pytest.mark.parametrize(
    ("name", "filter"),
    (
        ("AccountService.List", {"addresses": ["x"]}),
        ("ActivationService.List", {"coinbase": "sm1qqqqqqx2hqflnacy0qqjsqjur0ym9km7qcq97zq7p8tz2"}),
        ("RewardService.List", {"coinbase": ""}),
        ("TransactionService.List", {"address": ""}),
    ),
)
def test_addresses_of_a_filter_are_judged_before_the_limit(recorded: Node, name: str, filter: dict[str, Any]) -> None:
    status, text = recorded.refused(name, **filter)
    assert status == Status.INVALID_ARGUMENT and "limit" not in text


@pytest.mark.parametrize(
    ("name", "field", "value"),
    (
        ("AccountService.List", "addresses", "x"),
        ("ActivationService.List", "id", NO_ID),
        ("ActivationService.List", "smesher_id", NO_ID),
        ("ActivationStreamService.Stream", "smesher_id", NO_ID),
        ("MalfeasanceService.List", "smesher_id", NO_ID),
        ("MalfeasanceStreamService.Stream", "smesher_id", b""),
        ("TransactionService.List", "txid", NO_ID),
        ("TransactionStreamService.Stream", "txid", NO_ID),
    ),
)
def test_so_many_values_of_a_filter_are_looked_for(recorded: Node, name: str, field: str, value: Any) -> None:
    """A message has room for three hundred thousand ids."""
    found = recorded.refused(name, **{field: [value] * (MAX_FILTER + 1)})
    text = f"{field} has {MAX_FILTER + 1} values, expected {MAX_FILTER} at most; ask several times"
    assert found == (Status.INVALID_ARGUMENT, text)
    if name.endswith("List") and value != "x":
        recorded.ask(name, limit=1, **{field: [value] * MAX_FILTER})


@pytest.mark.parametrize(
    ("name", "filter"),
    (
        ("ActivationService.List", {"id": [b"ab"]}),
        ("ActivationService.List", {"smesher_id": [bytes(33)]}),
        ("MalfeasanceService.List", {"smesher_id": [b""]}),
        ("RewardService.List", {"smesher": b""}),
        ("TransactionService.List", {"txid": [b"", bytes(31)]}),
    ),
)
def test_a_filter_of_another_length_meets_nothing(recorded: Node, name: str, filter: dict[str, Any]) -> None:
    answer = recorded.ask(name, limit=100, **filter)
    assert answer == type(answer)()
