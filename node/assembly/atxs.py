"""The activations in memory as each room wants to see them, and who is told of new ones.

One set of columns serves all rooms: tortoise, blocks and executor, beacon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from node.activation.columns import AtxColumns, AtxRow
from node.beacon.epochs import EpochAtxs
from node.contract.instants import Instant
from node.tortoise.state import AtxInfo
from protocol.numbers.layers import NetworkTime
from protocol.numbers.u64 import MASK
from protocol.types.ids import Address, AtxId, EpochId, LayerId, NodeId


@dataclass(frozen=True, slots=True)
class EpochAtx:
    """An activation as blocks and rewards need it."""

    smesher_id: NodeId
    coinbase: Address
    weight: int
    """Space units times ticks."""
    base_tick_height: int
    """Where its ticks begin."""

    @classmethod
    def of(cls, row: AtxRow) -> EpochAtx:
        """From the columns."""
        return cls(row.node, row.coinbase, row.weight, row.base_height)


class KnownAtxs:
    """The columns, seen by tortoise (`AtxData`), blocks (`Atxs`), executor (`AtxOf`) and beacon (`Activations`)."""

    def __init__(self, columns: AtxColumns, time: NetworkTime) -> None:
        self._columns = columns
        self._time = time

    # ---- tortoise ----

    def get(self, epoch: EpochId, id: AtxId) -> AtxInfo | None:
        """One ATX that is active in an epoch; None where it is not known."""
        row = self._columns.get(epoch, id)
        return None if row is None else AtxInfo(row.node, row.weight, row.height)

    def median_height(self, epoch: EpochId) -> int:
        """Of the ATXs whose smesher is not marked as malicious."""
        return self._columns.median_height(epoch)

    def missing(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        """Those that are not known, in their order."""
        return self._columns.missing(epoch, ids)

    def evict(self, epoch: EpochId) -> None:
        """The epoch is outside the window, for everybody."""
        self._columns.evict(epoch)

    # ---- blocks and executor ----

    def atx(self, layer: LayerId, id: AtxId) -> EpochAtx | None:
        """An ATX that is active in the epoch of a layer."""
        row = self._columns.get(self._time.epoch_of(layer), id)
        return None if row is None else EpochAtx.of(row)

    def rewarded(self, id: AtxId, layer: LayerId) -> EpochAtx | None:
        """The same, for the executor."""
        return self.atx(layer, id)

    # ---- beacon ----

    def atxs(self, epoch: EpochId) -> EpochAtxs:
        """All ATXs of an epoch, in the order in which they came."""
        of = self._columns.epoch(epoch)
        order = np.argsort(of.column("order"), kind="stable")
        return EpochAtxs(
            of.column("node")[order],
            of.column("weight")[order],
            of.column("received")[order],
            of.column("is_malicious")[order],
        )

    def nonce(self, node: NodeId, epoch: EpochId) -> int | None:
        """The VRF nonce of a smesher in an epoch: that of its first ATX."""
        first = self._first(epoch, node)
        return None if first is None else first.nonce

    def units(self, node: NodeId, epoch: EpochId) -> int:
        """Space units of a smesher in an epoch, by its first ATX; 0 for a malicious one, or none at all.

        An ATX without ticks has no weight, in which the units could be read, and takes no part: 0, too.
        """
        first = self._first(epoch, node)
        if first is None or self._columns.is_malicious(node):
            return 0
        ticks = (first.height - first.base_height) & MASK
        return first.weight // ticks if ticks else 0

    def _first(self, epoch: EpochId, node: NodeId) -> AtxRow | None:
        rows = self._columns.by_node(epoch, node)
        return rows[0] if rows else None


class AtxFollower(Protocol):
    """Tortoise."""

    def on_atx(self, target: EpochId, node: NodeId, weight: int) -> None:
        """An ATX is active in an epoch."""

    def on_malfeasance(self, node: NodeId) -> None:
        """An identity is malicious."""


class LateAtxs(Protocol):
    """The beacon."""

    def on_atx(self, epoch: EpochId, node: NodeId, weight: int, received: Instant) -> None:
        """An ATX came that is active in an epoch."""


class Followers:
    """Who is told of new activations and of those who broke the rules: columns, tortoise, beacon."""

    def __init__(self, columns: AtxColumns, tortoise: AtxFollower) -> None:
        self._columns = columns
        self._tortoise = tortoise
        self._beacon: LateAtxs | None = None

    def follow(self, beacon: LateAtxs) -> None:
        """The beacon is told, too, if it runs."""
        self._beacon = beacon

    def on_atx(self, epoch: EpochId, atx: AtxRow, *, is_new: bool) -> None:
        """An activation was stored."""
        if is_new:
            self._tortoise.on_atx(epoch, atx.node, atx.weight)
        if self._beacon is not None:
            self._beacon.on_atx(epoch, atx.node, atx.weight, Instant(atx.received))

    def on_malicious(self, node: NodeId) -> None:
        """An identity broke the rules."""
        self._columns.mark_malicious(node)
        self._tortoise.on_malfeasance(node)
