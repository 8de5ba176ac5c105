"""Vectors of the beacon's weak coin: consensus/weakcoin.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.beacon.coin import WeakCoin
from protocol.codec.declare import CodecError
from protocol.crypto import vrf
from protocol.crypto.signing import Signer
from protocol.types.beacon import WeakCoinMessage
from protocol.types.eligibility import weak_coin_input
from protocol.types.ids import EpochId, NodeId, RoundId, VrfSignature
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

WITHOUT_OWN = 3
"""The round that the recorded node opens without a smesher of its own."""


@vectors("consensus/weakcoin.json", variants=False)
def weak_coin(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("scenarios", "vrf_messages"))
    for position, row in enumerate(document["vrf_messages"]):
        yield Case(f"vrf_messages[{position}]", lambda row=row: _vrf_message(row))
    for scenario in document["scenarios"]:
        yield Case(scenario["name"], lambda scenario=scenario: _Scenario(scenario).run())


def _vrf_message(row: Any) -> None:
    found = weak_coin_input(int(row["nonce"]), EpochId(row["epoch"]), RoundId(row["round"]), row["unit"])
    assert found.hex() == row["message"], found.hex()


class _Scenario:
    """A coin with the smeshers of one scenario around it."""

    def __init__(self, scenario: Any) -> None:
        self._steps = scenario["steps"]
        self._participants = {one["node_id"]: one for one in scenario["participants"]}
        self._own = scenario["participants"][scenario["own"]]
        threshold = VrfSignature(bytes.fromhex(scenario["threshold"]))
        self._coin = WeakCoin(scenario["max_round"], scenario["buffer_size"], threshold)

    def run(self) -> None:
        for position, step in enumerate(self._steps):
            where = f"step {position} ({step['op']} {step.get('name', '')})"
            match step["op"]:
                case "message":
                    self._message(step, where)
                case "get":
                    found = self._coin.coins.get(RoundId(step["round"]))
                    assert found == step["coin"], f"{where}: {found}"
                    continue
                case "start_epoch":
                    self._coin.start_epoch(EpochId(step["arg"]))
                case "start_round":
                    self._start_round(RoundId(step["arg"]), step, where)
                case "finish_round":
                    self._coin.finish_round()
                case "finish_epoch":
                    self._coin.finish_epoch()
                case _:
                    raise NotUnderstood(f"{where}: unknown")
            smallest = self._coin.smallest and self._coin.smallest.hex()
            assert len(self._coin.kept) == step["buffered_after"], f"{where}: {len(self._coin.kept)} kept"
            assert smallest == step["smallest_after"], f"{where}: smallest {smallest}"

    def _message(self, step: Any, where: str) -> None:
        try:
            message = WeakCoinMessage.codec.decode(bytes.fromhex(step["bytes"]))
        except CodecError:
            found = "malformed"
        else:
            found = self._coin.refusal(message)
            if found is None and self._coin.is_current(message):
                found = self._judge(message)
            elif found is None:
                self._coin.keep(message)
        assert found == step["error"], f"{where}: {found}"

    def _judge(self, message: WeakCoinMessage) -> str | None:
        known = self._participants.get(message.node_id.hex())
        if known is None:
            return "no_nonce"
        alpha = weak_coin_input(known["nonce"], message.epoch, message.round, message.unit)
        if not vrf.verify(message.node_id, alpha, message.vrf_signature):
            return "bad_vrf"
        if message.unit > known["allowance"]:
            return "unit_not_allowed"
        return None if self._coin.take(message.vrf_signature) else "not_smallest"

    def _start_round(self, round: RoundId, step: Any, where: str) -> None:
        for message in self._coin.start_round(round):
            self._judge(message)
        published = []
        if round != WITHOUT_OWN:
            node = NodeId(bytes.fromhex(self._own["node_id"]))
            proofs = [self._own_proof(round, unit) for unit in range(self._own["allowance"])]
            published = [
                WeakCoinMessage.codec.encode(WeakCoinMessage(self._coin.epoch, round, unit, node, proof)).hex()
                for unit, proof in self._coin.to_publish(proofs)
            ]
        assert published == (step["published_sorted"] or []), f"{where}: published {published}"

    def _own_proof(self, round: RoundId, unit: int) -> VrfSignature:
        alpha = weak_coin_input(self._own["nonce"], self._coin.epoch, round, unit)
        return VrfSignature(Signer(bytes.fromhex(self._own["key_seed"])).prove(alpha))
