"""The beacon of an epoch as its ballots tell it, for a node that was not there when it was agreed on.

Protocol 04b, section 1.8.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.numbers import fixed
from protocol.types.ids import BallotId, Beacon


@dataclass(slots=True)
class _Tally:
    ballots: set[BallotId] = field(default_factory=set)
    units: int = 0
    weight: int = 0
    """Raw 72.56."""


class Reports:
    """The ballots of one epoch. Mutable."""

    def __init__(self, sync_weight_units: int) -> None:
        self._needed = sync_weight_units
        self._tallies: dict[Beacon, _Tally] = {}

    def add(self, ballot: BallotId, beacon: Beacon, unit_weight: int, eligibilities: int) -> None:
        """A valid ballot names a beacon. unit_weight: of one eligibility, raw 72.56."""
        tally = self._tallies.setdefault(beacon, _Tally())
        if ballot in tally.ballots:
            return
        tally.ballots.add(ballot)
        tally.units += eligibilities
        tally.weight += fixed.mul(unit_weight, fixed.from_int(eligibilities))

    def beacon(self) -> Beacon | None:
        """The one with most weight, once there are enough ballots; of equal ones the smallest."""
        if sum(tally.units for tally in self._tallies.values()) < self._needed or not self._tallies:
            return None
        return min(self._tallies, key=lambda beacon: (-self._tallies[beacon].weight, beacon))
