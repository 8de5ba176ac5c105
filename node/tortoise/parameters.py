"""Parameters of the tortoise: distances, the window, and what a network had for a window before.

Protocol 06-tortoise, section 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.types.ids import LayerId

ADVERSARIAL_FRACTION = 3
"""At most this part (a third) of the weight is assumed to be dishonest."""
LOCAL_THRESHOLD_FRACTION = 3
"""Of an epoch's weight a layer: what undecided layers are voted on with."""


@dataclass(frozen=True, slots=True)
class HistoricalWindow:
    """A window that counted for layers of the past."""

    start: LayerId
    end: LayerId
    """The last layer, included."""
    window: int
    """Layers."""


@dataclass(frozen=True, slots=True)
class TortoiseParameters:
    """What all nodes of a network have in common. All distances are in layers."""

    layers_per_epoch: int
    effective_genesis: LayerId
    """The last layer that holds nothing; blocks begin after it."""
    hdist: int
    """Within it, votes follow hare; beyond it, what was verified."""
    zdist: int
    """After it, a layer without an output of hare counts as empty."""
    window_size: int
    max_exceptions: int
    """Most explicit votes of a ballot, for and against together."""
    bad_beacon_delay: int
    """How long the votes of ballots with another beacon wait before they count in full mode."""
    historical_windows: Sequence[HistoricalWindow] = ()

    def __post_init__(self) -> None:
        if self.hdist < self.zdist:
            raise ValueError(f"hdist is {self.hdist}, expected at least zdist, which is {self.zdist}")
        if self.window_size < 1:
            raise ValueError(f"window size is {self.window_size}, expected at least 1 layer")
        if self.layers_per_epoch < 1:
            raise ValueError(f"layers per epoch is {self.layers_per_epoch}, expected at least 1")

    def window(self, layer: LayerId) -> int:
        """Layers in the window that ends at a layer."""
        for historical in self.historical_windows:
            if historical.start <= layer <= historical.end:
                return historical.window
        return self.window_size
