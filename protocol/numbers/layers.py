"""Layers, epochs and the time at which they begin.

A layer is a slot of fixed length, an epoch a fixed number of layers. Layers up to and including the effective genesis
hold no consensus. All arithmetic is in wide integers and refuses to leave 32 bits, where the reference wraps around or
stops. Protocol 03b-config-and-genesis, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NewType

from protocol.errors import ProtocolError

LayerId = NewType("LayerId", int)
"""A layer, 0 to 2^32 - 1."""
EpochId = NewType("EpochId", int)
"""An epoch, 0 to 2^32 - 1."""

MAX_LAYER = (1 << 32) - 1
GENESIS_EPOCHS = 2
"""Epochs before the first in which proposals are made."""


class LayerError(ProtocolError):
    """A layer, epoch or clock that cannot be. reason: overflow, underflow, clock."""


def add(layer: int, layers: int) -> LayerId:
    """layer + layers. Raises LayerError (overflow)."""
    return _checked(layer + layers, f"layer {layer} + {layers}")


def sub(layer: int, layers: int) -> LayerId:
    """layer - layers. Raises LayerError (underflow)."""
    return _checked(layer - layers, f"layer {layer} - {layers}")


def mul(layer: int, factor: int) -> LayerId:
    """layer * factor. Raises LayerError (overflow)."""
    return _checked(layer * factor, f"layer {layer} * {factor}")


def difference(later: int, earlier: int) -> int:
    """How many layers later is after earlier. Raises LayerError (underflow)."""
    return _checked(later - earlier, f"layer {later} - layer {earlier}")


def next_epoch(epoch: int) -> EpochId:
    """The epoch after: the one that an ATX published in `epoch` targets. Raises LayerError (overflow)."""
    return EpochId(_checked(epoch + 1, f"epoch {epoch} + 1"))


def _checked(value: int, what: str) -> LayerId:
    if value < 0:
        raise LayerError(f"{what} is below zero.", "underflow")
    if value > MAX_LAYER:
        raise LayerError(f"{what} is above the last layer, {MAX_LAYER}.", "overflow")
    return LayerId(value)


@dataclass(frozen=True, slots=True)
class NetworkTime:
    """Where a network's layers lie in time."""

    genesis_ns: int
    """Start of layer 0, nanoseconds since 1970."""
    layer_duration_ns: int
    layers_per_epoch: int
    checkpoint_genesis: int | None = None
    """The effective genesis after a recovery from a checkpoint: the restored layer - 1."""

    def __post_init__(self) -> None:
        if self.layer_duration_ns <= 0:
            raise LayerError(
                f"The layer duration is {self.layer_duration_ns} ns, expected a duration above zero.", "clock"
            )
        if not 1 <= self.layers_per_epoch <= MAX_LAYER:
            raise LayerError(
                f"An epoch has {self.layers_per_epoch} layers, expected a number from 1 to {MAX_LAYER}.", "clock"
            )

    def layer_at(self, now_ns: int) -> LayerId:
        """The layer that runs at a time; 0 before the genesis. Raises LayerError (overflow)."""
        elapsed = max(0, now_ns - self.genesis_ns)
        return _checked(elapsed // self.layer_duration_ns, "the layer of this time")

    def start_ns(self, layer: int) -> int:
        """When a layer begins, nanoseconds since 1970."""
        return self.genesis_ns + layer * self.layer_duration_ns

    def epoch_of(self, layer: int) -> EpochId:
        """The epoch that holds a layer."""
        return EpochId(layer // self.layers_per_epoch)

    def ordinal_in_epoch(self, layer: int) -> int:
        """The place of a layer in its epoch, from 0."""
        return layer % self.layers_per_epoch

    def first_layer(self, epoch: int) -> LayerId:
        """The first layer of an epoch. Raises LayerError (overflow)."""
        return _checked(epoch * self.layers_per_epoch, f"the first layer of epoch {epoch}")

    @property
    def first_effective_genesis(self) -> LayerId:
        """The last layer without consensus of a network that was never restored; subsidies count from it."""
        return _checked(GENESIS_EPOCHS * self.layers_per_epoch - 1, "the effective genesis")

    @property
    def effective_genesis(self) -> LayerId:
        """The last layer without consensus."""
        if self.checkpoint_genesis is not None:
            return LayerId(self.checkpoint_genesis)
        return self.first_effective_genesis

    def restored_at(self, layer: int) -> NetworkTime:
        """The same network after a recovery from a checkpoint at `layer`. Raises LayerError (underflow)."""
        return replace(self, checkpoint_genesis=sub(layer, 1))

    def check_tick(self, interval_ns: int) -> None:
        """Whether a clock may tick at this interval. Raises LayerError (clock)."""
        if not 0 < interval_ns <= self.layer_duration_ns:
            raise LayerError(
                f"The clock ticks every {interval_ns} ns, expected more than zero and at most one layer "
                f"({self.layer_duration_ns} ns).",
                "clock",
            )
