"""The port `Random` in the world: from a seed that the system drew."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class DrawnRandom:
    """A generator. Nothing that must stay secret is drawn from it."""

    def __init__(self, seed: bytes) -> None:
        self._random = random.Random(seed)

    def below(self, limit: int) -> int:
        """As Random says."""
        return self._random.randrange(limit)

    def shuffled(self, values: Sequence[T]) -> list[T]:
        """As Random says."""
        found = list(values)
        self._random.shuffle(found)
        return found
