"""Those who could hear each other agree: on beacons, on the state after verified layers; and they get on."""

from __future__ import annotations

from dataclasses import dataclass

from node.beacon.machine import BEACONS
from node.ledger.tables import LAYERS
from node.sim.seen import Seen
from protocol.types.ids import EpochId, LayerId

from .base import Invariant


class OneBeacon(Invariant):
    """Where nobody was apart for two epochs, all who were up have the same beacon for the next one.

    The beacon of an epoch is agreed on in the one before, by those who published in the one before that. Activations
    that come late, because somebody was apart then, are not the same for all: sync brings them to some sooner.
    """

    name = "one beacon"

    def layer_began(self, layer: LayerId) -> None:
        """As Watcher says."""
        time = self.world.time
        epoch = time.epoch_of(layer)
        if time.ordinal_in_epoch(layer) or time.first_layer(epoch) <= time.effective_genesis + 1:
            return
        layers = 2 * time.layers_per_epoch
        if not self.company.is_whole(layers):
            return
        for group in self.company.groups(layers):
            found: dict[bytes, int] = {}
            for node in group:
                beacon = node.read(lambda view: view.get(BEACONS, EpochId(epoch)))
                if beacon is not None:
                    found.setdefault(beacon, node.number)
            if len(found) > 1:
                said = ", ".join(f"{beacon.hex()} (node {number})" for beacon, number in found.items())
                self.violated(f"epoch {epoch} has the beacons {said}")


@dataclass(frozen=True)
class Distances:
    """How long nodes must be together before they must agree, in layers."""

    hdist: int
    healing: int
    """After the last disturbance, among all: four epochs."""


class OneStateRoot(Invariant):
    """Nodes that were together for hdist layers, with the same beacons, have one state root after each layer that they
    hold to be verified in that time; and after four epochs together, after every layer."""

    name = "one state root"

    def __init__(self, distances: Distances) -> None:
        super().__init__()
        self._distances = distances

    def layer_began(self, layer: LayerId) -> None:
        """As Watcher says."""
        self._compare(layer, self._distances.hdist)
        self._compare(layer, self._distances.healing)

    def _compare(self, layer: LayerId, layers: int) -> None:
        back = 2 * layers if layers == self._distances.healing else layers
        first = max(self.world.time.effective_genesis + 1, layer - back)
        for group in self.company.agreeing(layers):
            roots: dict[int, tuple[bytes, int]] = {}
            for node in group:
                for of, found in _roots(node, first).items():
                    root, other = roots.setdefault(of, (found, node.number))
                    if root != found:
                        self.violated(f"layer {of} is verified with another state than at node {other}", node)
                        return


def _roots(node: Seen, first: int) -> dict[int, bytes]:
    """The state root after each layer that a node has applied and holds to be verified, from one on."""
    layers = range(first, node.verified + 1)
    rows = node.read(lambda view: [view.get(LAYERS, LayerId(of)) for of in layers])
    return {of: row.state_hash for of, row in zip(layers, rows, strict=True) if row is not None}


class FrontierMoves(Invariant):
    """While more than two thirds of the weight are honest and together, the verified frontier is near the clock."""

    name = "the frontier moves"

    def __init__(self, distances: Distances, weights: dict[int, int]) -> None:
        """weights: of all nodes by number."""
        super().__init__()
        self._distances, self._weights = distances, weights

    def layer_began(self, layer: LayerId) -> None:
        """As Watcher says."""
        least = layer - self._distances.hdist - 2
        if least <= self.world.time.effective_genesis:
            return
        for group in self.company.agreeing(self._distances.healing):
            if not self.company.has_majority(group, self._weights):
                continue
            late = [node for node in group if node.verified < least]
            if late:
                self._tell(late[0], layer)

    def _tell(self, node: Seen, layer: LayerId) -> None:
        self.violated(f"layer {layer} begins, and only layers up to {node.verified} are verified", node)
