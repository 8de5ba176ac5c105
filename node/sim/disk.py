"""The disk of a node: what a crash leaves of it.

A batch is there whole or not at all. What was synced stays, with everything written before it. After a kill of the
process everything that was written is there; after a power cut the batches since the last sync are lost from some point
on, and so is nothing that the system wrote back long ago. A disk can also be told to cut the work off at its k-th write
from now, before the batch or behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum

from node.contract.instants import Instant
from node.store.memory import MemoryBackend
from protocol.numbers.durations import SECOND

from .chance import Chance

WRITE_BACK = 30 * SECOND
"""After so long a written batch is on the disk, synced or not."""

Changes = list[tuple[bytes, bytes | None]]


class Cut(BaseException):
    """The process is no more; not even `except Exception` runs."""


class Crash(Enum):
    """How a process ends."""

    KILL = "kill"
    """It alone: what it has written is there."""
    POWER = "power"
    """With the machine: what was not synced may be lost."""


class Disk:
    """The disk of one node. Its databases share the fate of the machine."""

    def __init__(self, now: Callable[[], Instant], chance: Chance) -> None:
        self._now = now
        self._chance = chance
        self._databases: list[Database] = []
        self._writes_left: int | None = None

    def database(self) -> Database:
        """A new one, empty."""
        made = Database(self)
        self._databases.append(made)
        return made

    def cut_at_write(self, number: int) -> None:
        """Cut the work off at the number-th write from now on, 1 for the next one."""
        self._writes_left = number

    def crash(self, kind: Crash) -> int:
        """The process ends; how many batches are lost."""
        self._writes_left = None
        if kind is Crash.KILL:
            return 0
        return sum(database.lose(self._chance) for database in self._databases)

    # ---- for its databases ----

    def now(self) -> Instant:
        """The time, by which the system writes back."""
        return self._now()

    def begin_write(self) -> bool:
        """A batch is to be written; whether the work is cut off behind it. Raises Cut where it is before."""
        if self._writes_left is None:
            return False
        self._writes_left -= 1
        if self._writes_left:
            return False
        self._writes_left = None
        if self._chance.happens(0.5):
            raise Cut
        return True


class Database(MemoryBackend):
    """One ordered key space on a disk, with what takes back the batches that may still be lost."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self._disk = disk
        self._undo: list[tuple[Instant, Changes]] = []
        self.on_write: Callable[[Changes], None] | None = None
        """Told of every batch before it is written."""

    @property
    def unsynced(self) -> int:
        """Batches that a power cut may lose."""
        self._write_back()
        return len(self._undo)

    def write(self, changes: Iterable[tuple[bytes, bytes | None]], sync: bool) -> None:
        """As Backend says. Raises Cut."""
        listed = list(changes)
        if self.on_write is not None:
            self.on_write(listed)
        is_last = self._disk.begin_write()
        before: Changes = [(key, self.get(key)) for key in dict(listed)]
        super().write(listed, sync)
        if sync and not is_last:
            self._undo.clear()
        else:
            self._undo.append((self._disk.now(), before))
        if is_last:
            raise Cut

    def lose(self, chance: Chance) -> int:
        """A power cut: the batches since the last sync, from any one on, were never written; how many these are."""
        self._write_back()
        lost = chance.between(0, len(self._undo))
        for _ in range(lost):
            _, before = self._undo.pop()
            super().write(before, sync=False)
        self._undo.clear()
        return lost

    def _write_back(self) -> None:
        oldest = self._disk.now() - WRITE_BACK
        kept = 0
        while kept < len(self._undo) and self._undo[kept][0] < oldest:
            kept += 1
        del self._undo[:kept]
