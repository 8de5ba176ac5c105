"""How labels of GPUs are checked on the CPU: which ones of each piece, and the error for a wrong one.

A card that has computed right labels for an hour may compute a wrong one in the next minute (heat, overclocking, a
driver's mistake), and a wrong label on disk is found by nobody before a proof fails. So the last label of every piece
and some random ones are recomputed before the piece is used. Specified in protocol 01-post-tools, section 8.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kernels.devices.types import Device, Labels
from kernels.errors import KernelError

CHECK_ONE_IN = 1 << 16
"""Labels of a GPU of which one is recomputed on the CPU."""

FIRST_CHECK = 256
"""Labels of an engine's first piece on a GPU, all of them recomputed."""

WAVE_CHECK = 64
"""Labels recomputed of its second piece, the first that uses all of the card's memory."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How the pieces of GPUs are checked on the CPU."""

    labels32: Callable[[bytes, Sequence[int]], Labels]
    """(commitment, indices) -> right labels, uint8[n, 32 or 16]; called from several threads."""
    one_in: int = CHECK_ONE_IN
    """One label of so many is recomputed; 0: only the last of each piece."""
    first: int = FIRST_CHECK
    """Labels of an engine's first piece."""
    chooser: random.Random = field(default_factory=random.SystemRandom)

    def places(self, count: int, pieces_before: int) -> list[int]:
        """Which labels of a piece are recomputed: always the last; of the first two pieces of an engine, more."""
        always = count // self.one_in if self.one_in else 0
        early = self.first if pieces_before == 0 else min(self.first, WAVE_CHECK) if pieces_before == 1 else 0
        wanted = max(always, early)
        others = self.chooser.sample(range(count - 1), min(wanted, count - 1))
        return [*sorted(others), count - 1]


class WrongLabel(KernelError):
    """A device computed a label that plain integers do not confirm."""

    def __init__(self, device: Device, index: int, expected: bytes, found: bytes) -> None:
        super().__init__(
            f"{device.name} (driver {device.driver}) computed a wrong label {index}: "
            f"{found.hex()} instead of {expected.hex()}; nothing of that batch was used"
        )
        self.device = device
        self.index = index
