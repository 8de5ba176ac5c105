"""The same thing is said once a minute: what peers, services and devices cause again and again fills no log."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

REPEAT_S = 60.0
"""The same kind of line is said once in this time."""
KINDS_KEPT = 256
"""Kinds that are remembered; the one that was said longest ago is forgotten above this number."""


@dataclass(frozen=True, slots=True)
class Turn:
    """It may be said now."""

    kept_back: int = 0
    """How often it was not said since it was said last."""
    seconds: float = 0.0
    """How long that was ago; 0 where it is said for the first time."""


class Repeats:
    """What was said, and when. Not for several threads at once."""

    def __init__(self) -> None:
        self._said: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()
        """Kind to when it was said last, and how often it was kept back since."""

    def __len__(self) -> int:
        return len(self._said)

    def turn(self, kind: Hashable, now: float) -> Turn | None:
        """Whether a line of this kind is said at an instant (in seconds): None where the last one was just now."""
        last = self._said.get(kind)
        if last is not None and now - last[0] < REPEAT_S:
            self._said[kind] = (last[0], last[1] + 1)
            return None
        self._said[kind] = (now, 0)
        self._said.move_to_end(kind)
        if len(self._said) > KINDS_KEPT:
            self._said.popitem(last=False)
        return Turn() if last is None else Turn(last[1], now - last[0])

    def once(self, text: str, now: float) -> str | None:
        """The text where it is said now."""
        return None if self.turn(text, now) is None else text
