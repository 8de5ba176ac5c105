"""How much room a disk must have for the node to go on, and whether it has it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from .data_directory import LEAST_ROOM

LEAST_TO_GO_ON = LEAST_ROOM * 3 // 4
"""Bytes below which nothing new is taken: the store needs some to bring in order what it has, and logs need some."""
LOOKS_EVERY_S = 0.5


class Room:
    """Of the disk on which a data directory is. It is enough until it is too little, then too little until there is as
    much as a start asks for. Cheap: the disk is asked twice a second."""

    def __init__(
        self,
        path: Path,
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._free, self._clock = path, free, clock
        self._looks_at = float("-inf")
        self._is_enough = True

    def __call__(self) -> bool:
        """Whether there is enough."""
        now = self._clock()
        if now >= self._looks_at:
            self._looks_at = now + LOOKS_EVERY_S
            self._is_enough = self._free(self._path) >= (LEAST_TO_GO_ON if self._is_enough else LEAST_ROOM)
        return self._is_enough
