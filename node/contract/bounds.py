"""How much may wait, in numbers. What is beyond is ignored and counted."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.numbers.durations import MINUTE


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of the messages of one machine that wait."""

    wait: int = MINUTE
    """From reception until a message that waits is ignored; nanoseconds."""
    waiting: int = 10_000
    """Messages that wait at once."""
    waiting_by_peer: int = 1_000
    """Of them, those of one peer."""
