"""Layers in which hare is in charge: sync leaves them alone. Protocol 05-consensus, section 13."""

from __future__ import annotations

from protocol.types.ids import LayerId

WINDOW = 100
"""A layer that began so many layers ago is no longer hare's."""


class LayerPatrol:
    """Called by hare, blocks and sync. What it holds is gone with the process: sync then takes those layers up."""

    def __init__(self) -> None:
        self._layers: set[LayerId] = set()
        self.touches = 0

    def set_in_charge(self, layer: LayerId) -> None:
        """Hare begins a layer."""
        self.touches += 1
        self._layers = {known for known in self._layers if known > layer - WINDOW}
        self._layers.add(layer)

    def complete(self, layer: LayerId) -> None:
        """Hare is done with a layer, and so is what follows from it; or nothing will come of it."""
        self.touches += 1
        self._layers.discard(layer)

    def is_in_charge(self, layer: LayerId) -> bool:
        """Whether a layer is hare's."""
        return layer in self._layers
