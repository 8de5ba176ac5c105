"""Time in nanoseconds, as in `protocol.numbers.durations`. A machine is given `now`, and never asks."""

from __future__ import annotations

from typing import NewType

Instant = NewType("Instant", int)
"""Nanoseconds since 1970."""


def after(instant: Instant, duration: int) -> Instant:
    """So many nanoseconds later."""
    return Instant(instant + duration)
