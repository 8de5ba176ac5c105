"""Keys that were seen before, as tables: a verification with one is shorter by a third.

Smeshers sign every layer and accounts every transaction, so most keys come again. Tables are made when a key is seen in
valid signatures (not proofs, which gain little) for the second time, eight at a time (`ed25519_known`). One takes twice
as long as a verification, so a batch pays for the tables of a quarter of its keys at most: the others have their turn
when they come again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from kernels.signatures import ed25519_batch
from kernels.signatures.ed25519_batch import LANES, Integers, Words

CAPACITY = 4096
"""Keys whose tables are kept, 4.3 KiB each."""

SHARE = 4
"""A batch makes tables for this part (a quarter) of the keys that have none, but for eight where so many wait."""

Verdicts = npt.NDArray[np.bool_]

Columns = Sequence[Sequence[bytes]]
"""The keys first, then what else belongs to each entry."""

Verify = Callable[[Columns, Words | None, Integers | None], Verdicts]
"""Verdicts on columns; with tables and where in them each key's begin, or without."""


class KnownKeys:
    """Tables of keys, made when a key is seen for the second time, and of what was seen.

    Tables are never overwritten, so that threads can read them: when the room is used up all are forgotten, and new
    ones go to a new array.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._tables: Words | None = None
        self._next = 0
        self._starts: dict[bytes, int] = {}
        self._seen: set[bytes] = set()
        self._waiting: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, keys: Sequence[bytes]) -> tuple[Words, list[int]]:
        """The array of tables, and where in it each key's begin; -1 for a key without."""
        with self._lock:
            if self._tables is None:
                return np.empty(0, np.uint64), [-1] * len(keys)
            get = self._starts.get
            return self._tables, [get(key, -1) for key in keys]

    def verify(self, columns: Columns, verify: Verify, learn: bool = True) -> Verdicts:
        """The verdicts of `verify`, which is called for the keys with a table and for those without."""
        keys = columns[0]
        tables, starts = self.find(keys)
        with_table, without = _divide(starts)
        if not with_table:
            verdicts = verify(columns, None, None)
        elif not without:
            verdicts = verify(columns, tables, np.array(starts, np.int64))
        else:
            verdicts = np.zeros(len(keys), np.bool_)
            chosen_starts = np.array([starts[i] for i in with_table], np.int64)
            verdicts[with_table] = verify(_chosen(columns, with_table), tables, chosen_starts)
            verdicts[without] = verify(_chosen(columns, without), None, None)
        if learn:
            self.saw([keys[i] for i in without if verdicts[i]])
        return verdicts

    def saw(self, keys: Sequence[bytes]) -> None:
        """Notes keys of valid signatures that have no table yet; some of those seen before get one, eight at a time."""
        with self._lock:
            for key in keys:
                if key in self._seen:
                    self._waiting[key] = None
                else:
                    self._seen.add(key)
            if len(self._seen) > 4 * self._capacity:
                self._seen.clear()
            waiting = [key for key in self._waiting if key not in self._starts]
            whole = min(len(waiting), max(LANES, len(keys) // SHARE)) // LANES * LANES
            self._waiting = dict.fromkeys(waiting[whole : whole + LANES - 1])
            self._remember(waiting[:whole])

    def remember(self, keys: Sequence[bytes]) -> None:
        """Makes tables of keys of 32 bytes at once; those that no node accepts are left out."""
        with self._lock:
            self._remember([key for key in dict.fromkeys(keys) if key not in self._starts])

    def _remember(self, keys: list[bytes]) -> None:
        if not keys:
            return
        from kernels.signatures import ed25519_known

        size = ed25519_known.KNOWN_KEY
        memory = ed25519_batch.aligned_words(ed25519_known.KNOWN_SCRATCH)
        for first in range(0, len(keys), LANES):
            group = keys[first : first + LANES]
            if self._next + LANES > self._capacity:
                self._forget()
            if self._tables is None:
                self._tables = ed25519_batch.aligned_words(self._capacity * size)
            words = ed25519_batch.join(group, 32).view(np.uint64)
            starts = (self._next + np.arange(LANES, dtype=np.int64)) * size
            is_allowed = np.zeros(LANES, np.bool_)
            ed25519_known.remember_eight(memory, words, self._tables, starts, is_allowed)
            self._next += LANES
            self._starts.update((key, int(starts[i])) for i, key in enumerate(group) if is_allowed[i])


def _divide(starts: list[int]) -> tuple[list[int], list[int]]:
    """Positions with a table and without; where that saves a group, some with a table go to those without."""
    with_table = [i for i, start in enumerate(starts) if start >= 0]
    without = [i for i, start in enumerate(starts) if start < 0]
    rest, room = len(with_table) % LANES, -len(without) % LANES
    if 0 < rest <= room:
        moved = with_table[len(with_table) - rest :]
        return with_table[: len(with_table) - rest], sorted(without + moved)
    return with_table, without


def _chosen(columns: Columns, positions: list[int]) -> list[list[bytes]]:
    return [[column[i] for i in positions] for column in columns]


KNOWN = KnownKeys()
"""The keys that this process has seen."""
