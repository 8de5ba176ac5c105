"""Vectors of applying and reverting layers: vm/layers.json. Each sequence is one case of as many steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.ledger.errors import LayerRefused
from node.ledger.layer import LayerChanges
from node.ledger.machine import Vm
from node.ledger.state import MemoryStore
from protocol.types import address
from protocol.types.ids import LayerId
from protocol.types.transactions import Reward
from tests.vector_cases.harness import Case, Context, unknown_sections, vectors
from tests.vector_cases.vm_support import accounts, differing, header_case, machine, share, transaction


def _reward(reward: Reward) -> dict[str, Any]:
    return {
        "layer": reward.layer,
        "coinbase": reward.coinbase.hex(),
        "smesher": reward.smesher_id.hex(),
        "total_reward": str(reward.total_reward),
        "layer_reward": str(reward.layer_reward),
    }


def _results(changes: LayerChanges) -> list[dict[str, Any]]:
    return [
        {
            "id": id.hex(),
            "status": int(result.status),
            "message": result.message,
            "gas": str(result.gas),
            "fee": str(result.fee),
            "layer": result.layer,
            "addresses": [one.hex() for one in result.addresses],
            "header": header_case(executed.header),
        }
        for (id, result), executed in zip(changes.results(), changes.executed)
    ]


def _ineffective(changes: LayerChanges) -> list[dict[str, Any]]:
    return [
        {"id": one.id.hex(), "header": None if one.header is None else header_case(one.header)}
        for one in changes.ineffective
    ]


def _apply(vm: Vm, store: MemoryStore, step: dict[str, Any]) -> None:
    before = list(store.accounts()), store.rewards(), vm.state_hash()
    try:
        changes = vm.apply(
            LayerId(step["layer"]),
            [transaction(bytes.fromhex(tx["raw"]), is_verified=tx["verified"]) for tx in step["txs"]],
            [share(one) for one in step["rewards"]],
        )
    except LayerRefused as error:
        assert step.get("error_class") == "internal", f"refused: {error}"
        assert (list(store.accounts()), store.rewards(), vm.state_hash()) == before, "something was changed"
        return
    assert not step.get("error_class"), f"applied, expected {step.get('error_class')}"
    differing(_results(changes), step["results"], "results")
    differing(_ineffective(changes), step["ineffective"], "ineffective")
    differing([_reward(one) for one in changes.rewards], step["reward_rows"], "reward_rows")
    differing(list(changes.accounts), accounts(step["changed"]), "changed")
    differing(changes.state_hash.hex(), step["state_hash"], "state_hash")
    differing(vm.state_hash().hex(), step["state_root"], "state_root")
    if "accounts" in step:
        differing(list(store.accounts()), accounts(step["accounts"]), "accounts")


def _revert(vm: Vm, store: MemoryStore, step: dict[str, Any]) -> None:
    layer = LayerId(step["layer"])
    vm.revert(layer, as_reference=True)
    differing(vm.state_hash().hex(), step["state_root_before_mesh_clears"], "state_root_before_mesh_clears")
    vm.revert(layer)
    differing(vm.state_hash().hex(), step["state_root"], "state_root")
    differing(list(store.accounts()), accounts(step["accounts"]), "accounts")
    left = sorted((_reward(one) for one in store.rewards()), key=repr)
    expected = sorted(
        ({name: row[name] for name in left[0]} if left else row for row in step["reward_rows_left"]), key=repr
    )
    differing(left, expected, "reward_rows_left")


@vectors("vm/layers.json")
def layers(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("sequences",))
    for sequence in document["sequences"]:

        def check(sequence: dict[str, Any] = sequence) -> None:
            params = sequence["params"]
            vm, store = machine(params, accounts(sequence["genesis_accounts"]))
            for principal in sequence["principals"]:
                if "bech32" in principal:
                    assert address.from_text(principal["bech32"], params["hrp"]).hex() == principal["address"]
            for position, step in enumerate(sequence["steps"]):
                try:
                    {"apply": _apply, "revert": _revert}[step["op"]](vm, store, step)
                except AssertionError as error:
                    raise AssertionError(f"step {position} ({step['op']} {step['layer']}): {error}") from None
            differing(list(store.accounts()), accounts(sequence["final_accounts"]), "final_accounts")

        yield Case(sequence["name"], check)
