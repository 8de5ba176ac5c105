"""What hare agrees on becomes a block, the same everywhere, and is applied."""

from __future__ import annotations

from collections.abc import Sequence

from node.contract.effects import Emit
from node.engine.edges import Input, Outputs
from node.hare.events import HareAgreed
from node.ledger.tables import LAYERS
from node.sim.disk import Crash
from node.sim.seen import Seen
from protocol.types.ids import EMPTY_BLOCK_ID, LayerId, ProposalId

from .agreement import Distances
from .base import Invariant


class AgreedIsApplied(Invariant):
    """Where more than two thirds of the weight are honest and together and agree on the same proposals, those who have
    verified the layer, hdist + 2 layers later, have a block in it."""

    name = "what hare agrees on is applied"

    def __init__(self, distances: Distances, weights: dict[int, int]) -> None:
        """weights: of all nodes by number."""
        super().__init__()
        self._distances, self._weights = distances, weights
        self._agreed: dict[int, dict[int, tuple[ProposalId, ...]]] = {}
        """By layer and node."""

    def turned(self, node: Seen, inputs: Sequence[Input], outputs: Outputs) -> None:
        """As Watcher says."""
        for output in outputs:
            if isinstance(output, Emit) and isinstance(output.event, HareAgreed):
                of = self._agreed.setdefault(int(output.event.layer), {})
                of[node.number] = tuple(output.event.proposals)

    def crashed(self, node: Seen, kind: Crash) -> None:
        """As Watcher says: what it agreed on may be lost."""
        for of in self._agreed.values():
            of.pop(node.number, None)

    def layer_began(self, layer: LayerId) -> None:
        """As Watcher says."""
        wait = self._distances.hdist + 2
        of = LayerId(layer - wait)
        agreed = self._agreed.pop(int(of), {})
        for group in self.company.agreeing(wait):
            sets = {agreed.get(node.number, ()) for node in group}
            if len(sets) != 1 or () in sets or not self.company.has_majority(group, self._weights):
                continue
            for node in group:
                row = node.read(lambda view: view.get(LAYERS, of))
                if node.verified >= of and row is not None and row.block == EMPTY_BLOCK_ID:
                    self.violated(f"layer {of} is verified without a block, though all agreed on proposals", node)
