"""Coins come from the genesis and from subsidies, and from nowhere else."""

from __future__ import annotations

from node.ledger.tables import ACCOUNTS, LAYERS, RESULTS, REWARDS
from node.sim.node import SimNode
from node.store.view import View
from protocol.types.ids import LayerId

from .base import Invariant


class SupplyConserved(Invariant):
    """All balances together are the genesis and the rewards, without the fees that rewards paid out again."""

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

    def _look(self, node: SimNode) -> None:
        there, expected = node.read(self._count)
        if there != expected:
            self.violated(f"{there} smidge are there, expected {expected}", node)

    def _count(self, view: View) -> tuple[int, int]:
        there = sum(account.balance for _, account in view.scan(ACCOUNTS))
        if there == 0 and view.first(LAYERS) is None:
            return 0, 0  # a node without a ledger
        paid = sum(reward.total_reward for _, reward in view.scan(REWARDS))
        fees = sum(result.fee for _, result in view.scan(RESULTS))
        return there, self._genesis + paid - fees
