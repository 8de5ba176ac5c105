"""The clock of one node: set wrongly, and too fast or too slow."""

from __future__ import annotations

from dataclasses import dataclass

from node.contract.instants import Instant

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class SkewedClock:
    """What a node believes to be the time."""

    origin: Instant
    """From when on it drifts."""
    offset: int = 0
    """Nanoseconds by which it is ahead, below 0: behind."""
    drift: int = 0
    """Millionths by which it is too fast."""

    def local(self, world: Instant) -> Instant:
        """What the clock shows at an instant of the world."""
        return Instant(world + self.offset + (world - self.origin) * self.drift // MILLION)

    def world(self, local: Instant) -> Instant:
        """The first instant of the world at which the clock shows this or later."""
        elapsed = local - self.offset - self.origin
        guess = self.origin + elapsed * MILLION // (MILLION + self.drift)
        while self.local(Instant(guess)) < local:
            guess += 1
        return Instant(guess)
