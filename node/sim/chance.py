"""Chance from a seed: every part of a simulation draws from a stream of its own, named by a path.

So a part that draws more often than before does not change what another one draws, and a run can be replayed, and made
smaller, without becoming another one altogether.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """A stream of draws. Also the port `Random` of the node."""

    def __init__(self, seed: int, *path: str | int) -> None:
        self._seed = seed
        self._path = path
        name = "/".join(str(part) for part in (seed, *path))
        self._random = Random(int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big"))

    def of(self, *path: str | int) -> Chance:
        """Another stream, that of a part; the same one each time, from its beginning."""
        return Chance(self._seed, *self._path, *path)

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1."""
        return self._random.randrange(limit)

    def between(self, low: int, high: int) -> int:
        """A number from low to high, both included."""
        return low + self._random.randrange(high - low + 1)

    def happens(self, probability: float) -> bool:
        """Whether something happens that does so with this probability, 0 to 1."""
        return self._random.random() < probability

    def spread(self, median: float, sigma: float) -> float:
        """A number of the log-normal distribution with this median; sigma 0: the median."""
        return median * self._random.lognormvariate(0.0, sigma)

    def choice(self, values: Sequence[T]) -> T:
        """One of the values. Raises IndexError where there is none."""
        return values[self._random.randrange(len(values))]

    def sample(self, values: Sequence[T], count: int) -> list[T]:
        """So many of the values, in any order; all where there are fewer."""
        return self._random.sample(values, min(count, len(values)))

    def shuffled(self, values: Sequence[T]) -> list[T]:
        """The values in another order."""
        found = list(values)
        self._random.shuffle(found)
        return found

    def bytes(self, count: int) -> bytes:
        """So many bytes."""
        return self._random.randbytes(count)
