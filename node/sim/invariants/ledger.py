"""Coins come from the genesis and from subsidies, and from nowhere else."""

from __future__ import annotations

from collections import Counter

from node.ledger.tables import ACCOUNTS, LAYERS, RESULTS, REWARDS
from node.sim.seen import Seen
from node.store.view import View
from protocol.numbers.issuance import subsidy
from protocol.types.ids import LayerId

from .base import Invariant


class SupplyConserved(Invariant):
    """All balances together are the genesis and the rewards, without the fees that were paid; and the rewards of a
    layer are at most its subsidy and its fees."""

    name = "the supply is conserved"

    def __init__(self, genesis_total: int) -> None:
        """genesis_total: smidge at the beginning."""
        super().__init__()
        self._genesis = genesis_total

    def layer_began(self, layer: LayerId) -> None:
        """As Watcher says. One node a layer: those that agree on the state agree on this."""
        up = [node for node in self.world.honest if node.is_up]
        if up:
            self._look(up[layer % len(up)])

    def ended(self) -> None:
        """As Watcher says."""
        for node in self.world.honest:
            if node.is_up:
                self._look(node)

    def _look(self, node: Seen) -> None:
        wrong = node.read(self._wrong)
        if wrong is not None:
            self.violated(wrong, node)

    def _wrong(self, view: View) -> str | None:
        if view.first(LAYERS) is None:
            return None  # no layer was applied yet
        paid: Counter[int] = Counter()
        fees: Counter[int] = Counter()
        for _, reward in view.scan(REWARDS):
            paid[reward.layer] += reward.total_reward
        for _, result in view.scan(RESULTS):
            fees[result.layer] += result.fee
        for layer, amount in paid.items():
            most = subsidy(layer - self.world.time.first_effective_genesis) + fees[layer]
            if amount > most:
                return f"layer {layer} pays {amount} smidge, and has {most} to pay"
        there = sum(account.balance for _, account in view.scan(ACCOUNTS))
        expected = self._genesis + paid.total() - fees.total()
        return None if there == expected else f"{there} smidge are there, expected {expected}"
