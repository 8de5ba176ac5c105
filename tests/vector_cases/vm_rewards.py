"""Vectors of issuance and of sharing a layer's rewards: vm/rewards.json, and the issuance in types/economics.json."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from node.ledger.errors import LayerRefused
from node.ledger.rewards import distribute, in_order
from protocol.numbers import issuance
from protocol.numbers.u64 import MASK
from protocol.types.ids import LayerId
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors
from tests.vector_cases.vm_support import reward

CHUNK = 64
"""Rows of a long table in one case."""


@vectors("vm/rewards.json", variants=False)
def rewards(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("subsidy", "subsidy_columns", "distributions"))
    if document["subsidy_columns"] != ["n", "subsidy", "accumulated"]:
        raise NotUnderstood(f"subsidies in columns {document['subsidy_columns']}")
    for start in range(0, len(document["subsidy"]), CHUNK):
        rows = document["subsidy"][start : start + CHUNK]

        def subsidy(rows: list[list[str]] = rows) -> None:
            for layers, in_layer, accumulated in rows:
                found = issuance.subsidy(int(layers)), issuance.accumulated_subsidy(int(layers))
                assert found == (int(in_layer), int(accumulated)), f"{found} at {layers}"

        yield Case(f"subsidy[{start}:{start + len(rows)}]", subsidy)
    for position, case in enumerate(document["distributions"]):

        def check(case: dict[str, Any] = case) -> None:
            layer, given = LayerId(case["layer"]), [reward(one) for one in case["rewards"]]
            paid_out = issuance.subsidy(layer - (2 * case["layers_per_epoch"] - 1))
            assert paid_out == int(case["subsidy"]), f"subsidy {paid_out}"
            assert in_order(given) == given, "the vectors' rewards are in the order of their coinbases"
            try:
                rows = distribute(layer, given, paid_out, int(case["fees"]))
            except LayerRefused as error:
                assert case.get("error_class") == "panic" and error.reason == "no_weight", f"refused: {error}"
                return
            assert not case.get("error_class"), "paid, but the reference stops"
            found = [
                {
                    "layer": row.layer,
                    "coinbase": row.coinbase.hex(),
                    "smesher": row.smesher_id.hex(),
                    "total_reward": str(row.total_reward),
                    "layer_reward": str(row.layer_reward),
                }
                for row in rows
            ]
            assert found == case["reward_rows"], f"{found}, expected {case['reward_rows']}"
            before = {one["address"]: int(one["balance"]) for one in case["balances_before"]}
            after: dict[str, int] = {}
            for row in rows:
                coinbase = row.coinbase.hex()
                after[coinbase] = after.get(coinbase, before.get(coinbase, 0)) + row.total_reward & MASK
            expected = {one["address"]: int(one["balance"]) for one in case["balances_after_in_touch_order"]}
            assert list(after.items()) == list(expected.items()), f"{after}, expected {expected}"

        yield Case(f"distributions[{position}] {case['name']}", check)


@vectors("types/economics.json", variants=False)
def economics(document: Any, context: Context) -> Iterator[Any]:
    for later in ("genesis_ids", "genesis_time_text", "genesis_file", "genesis_ledger"):
        yield Later(later)

    def constants() -> None:
        (case,) = document["constants"]
        assert int(case["one_smesh"]) == issuance.SMESH
        assert int(case["total_vaulted"]) == issuance.TOTAL_VAULTED
        assert int(case["ten_year_target"]) == issuance.TEN_YEAR_TARGET
        assert int(case["total_issuance"]) == issuance.TOTAL_ISSUANCE
        assert int(case["total_subsidy"]) == issuance.TOTAL_SUBSIDY
        assert int(case["vest_per_layer"]) == issuance.VESTED_PER_LAYER
        assert int(case["ten_years_layers"]) == issuance.TEN_YEARS
        assert (case["one_year"], case["vest_start"], case["vest_end"]) == (
            issuance.YEAR,
            issuance.VEST_START,
            issuance.VEST_END,
        )
        assert Decimal(case["log_two"]) == issuance.LOG_TWO
        assert Decimal(case["issuance_fraction"]) == issuance.FRACTION_LEFT
        assert Decimal(case["half_life"]) == issuance.HALF_LIFE
        assert Decimal(case["lambda"]) == issuance.LAMBDA

    yield Case("constants", constants)
    for position, case in enumerate(document["subsidy"]):

        def subsidy(case: dict[str, Any] = case) -> None:
            layers = case["layers_after_effective_genesis"]
            assert str(issuance.accumulated_subsidy(layers)) == case["accumulated"]
            if "in_layer" in case:
                assert str(issuance.subsidy(layers)) == case["in_layer"]

        yield Case(f"subsidy[{position}]", subsidy)
    for position, case in enumerate(document["subsidy_run"]):

        def run(case: dict[str, Any] = case) -> None:
            first = case["first_layer"]
            found = [str(issuance.subsidy(first + place)) for place in range(len(case["in_layer"]))]
            assert found == case["in_layer"]

        yield Case(f"subsidy_run[{position}]", run)
    for position, case in enumerate(document["vesting"]):

        def vesting(case: dict[str, Any] = case) -> None:
            layers = case["layers_after_genesis"]
            found = issuance.circulating_vaulted(layers)
            before = issuance.circulating_vaulted(layers - 1) if layers else 0
            assert (str(found), str(found - before)) == (case["accumulated"], case["in_layer"])

        yield Case(f"vesting[{position}]", vesting)
