"""Time: nanoseconds since 1970, and durations in the same unit. A machine is given `now`, and never asks."""

from __future__ import annotations

from typing import NewType

Instant = NewType("Instant", int)
"""Nanoseconds since 1970."""
Duration = NewType("Duration", int)
"""Nanoseconds."""

MILLISECOND = Duration(1_000_000)
SECOND = Duration(1_000_000_000)
MINUTE = Duration(60 * SECOND)


def after(instant: Instant, duration: int) -> Instant:
    """So many nanoseconds later."""
    return Instant(instant + duration)
