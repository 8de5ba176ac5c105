"""Vectors of applying and reverting layers: vm/layers.json. Each sequence is one case of as many steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.ledger.errors import LayerRefused
from node.ledger.layer import LayerChanges
from node.ledger.state_hash import EMPTY
from protocol.types import address
from protocol.types.ids import LayerId
from protocol.types.transactions import Reward
from tests.vector_cases.harness import Case, Context, unknown_sections, vectors
from tests.vector_cases.vm_support import accounts, differing, header_case, machine, reward, transaction


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


class _Sequence:
    """One sequence of steps, with what the reference says differently on purpose.

    Two rules. It lets a layer be applied once more as long as there is nothing to write, and overwrites the layer's
    state hash then: ours refuses it, so the old hash stays. After a revert it answers the old state hash until the mesh
    has cleared the layers above: ours never does.
    """

    def __init__(self, sequence: dict[str, Any]) -> None:
        self.params = sequence["params"]
        self.vm = machine(self.params, accounts(sequence["genesis_accounts"]))
        self.overwritten: int | None = None
        """The layer whose state hash the reference has overwritten and ours has not."""

    def root(self) -> str:
        """The current state hash as the reference has it."""
        return EMPTY.hex() if self.vm.last_applied() == self.overwritten is not None else self.vm.state_hash().hex()

    def apply(self, step: dict[str, Any]) -> None:
        """Apply, and compare everything that the vectors say."""
        vm = self.vm
        before = vm.kept.everything()
        last = vm.last_applied()
        is_again = last is not None and step["layer"] <= last
        try:
            changes = vm.apply(
                LayerId(step["layer"]),
                [transaction(bytes.fromhex(tx["raw"]), is_verified=tx["verified"]) for tx in step["txs"]],
                [reward(one) for one in step["rewards"]],
            )
        except LayerRefused as error:
            assert vm.kept.everything() == before, "something was changed"
            if step.get("error_class") == "internal":
                return
            assert is_again and not (step["changed"] or step["reward_rows"]), f"refused: {error}"
            assert step["state_hash"] == EMPTY.hex()
            self.overwritten = step["layer"]
        else:
            assert not step.get("error_class"), f"applied, expected {step.get('error_class')}"
            assert not is_again, "applied once more"
            differing(_results(changes), step["results"], "results")
            differing(_ineffective(changes), step["ineffective"], "ineffective")
            differing([_reward(one) for one in changes.rewards], step["reward_rows"], "reward_rows")
            differing(list(changes.accounts), accounts(step["changed"]), "changed")
            differing(changes.state_hash.hex(), step["state_hash"], "state_hash")
        differing(self.root(), step["state_root"], "state_root")
        if "accounts" in step:
            differing(vm.accounts(), accounts(step["accounts"]), "accounts")

    def revert(self, step: dict[str, Any]) -> None:
        """Revert, and compare everything that the vectors say."""
        vm = self.vm
        before = self.root()
        vm.revert(LayerId(step["layer"]))
        differing(before, step["state_root_before_mesh_clears"], "state_root_before_mesh_clears")
        differing(self.root(), step["state_root"], "state_root")
        differing(vm.accounts(), accounts(step["accounts"]), "accounts")
        left = sorted((_reward(one) for one in vm.rewards()), key=repr)
        expected = sorted(
            ({name: row[name] for name in left[0]} if left else row for row in step["reward_rows_left"]), key=repr
        )
        differing(left, expected, "reward_rows_left")


@vectors("vm/layers.json")
def layers(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("sequences",))
    for sequence in document["sequences"]:

        def check(sequence: dict[str, Any] = sequence) -> None:
            replay = _Sequence(sequence)
            for principal in sequence["principals"]:
                if "bech32" in principal:
                    assert address.from_text(principal["bech32"], replay.params["hrp"]).hex() == principal["address"]
            for position, step in enumerate(sequence["steps"]):
                try:
                    {"apply": replay.apply, "revert": replay.revert}[step["op"]](step)
                except AssertionError as error:
                    raise AssertionError(f"step {position} ({step['op']} {step['layer']}): {error}") from None
            differing(replay.vm.accounts(), accounts(sequence["final_accounts"]), "final_accounts")

        yield Case(sequence["name"], check)
