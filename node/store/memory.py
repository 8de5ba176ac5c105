"""A store in memory, for simulations, tests and tools. It behaves as the one in LevelDB does.

Snapshots cost nothing until something is written: each batch keeps what it found, and a snapshot from before it looks
there first. For one thread: nobody may read while another one writes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from .errors import StoreFault
from .view import Pair

BUCKET = 1024
"""Keys of one bucket; twice as many are split."""
CHUNK = 64
"""Keys that a range reads at a time."""


class SortedKeys:
    """A set of bytes in order, as a list of short sorted lists."""

    def __init__(self) -> None:
        self._buckets: list[list[bytes]] = []
        self._lasts: list[bytes] = []
        """The last key of each bucket."""

    def add(self, key: bytes) -> None:
        """A key that is not in the set."""
        if not self._buckets:
            self._buckets, self._lasts = [[key]], [key]
            return
        at = min(bisect_left(self._lasts, key), len(self._buckets) - 1)
        bucket = self._buckets[at]
        insort(bucket, key)
        if len(bucket) > 2 * BUCKET:
            self._buckets[at : at + 1] = [bucket[:BUCKET], bucket[BUCKET:]]
            self._lasts[at : at + 1] = [bucket[BUCKET - 1], bucket[-1]]
        else:
            self._lasts[at] = bucket[-1]

    def remove(self, key: bytes) -> None:
        """A key that is in the set."""
        at = bisect_left(self._lasts, key)
        bucket = self._buckets[at]
        del bucket[bisect_left(bucket, key)]
        if bucket:
            self._lasts[at] = bucket[-1]
        else:
            del self._buckets[at], self._lasts[at]

    def above(self, key: bytes, stop: bytes | None, count: int) -> list[bytes]:
        """The first keys from `key` on and below `stop`, ascending, at most so many."""
        at = bisect_left(self._lasts, key)
        found: list[bytes] = []
        while len(found) < count and at < len(self._buckets):
            bucket = self._buckets[at]
            first = 0 if found else bisect_left(bucket, key)
            last = min(len(bucket), first + count - len(found))
            if stop is not None and bucket[last - 1] >= stop:
                return found + bucket[first : bisect_left(bucket, stop, first, last)]
            found += bucket[first:last]
            at += 1
        return found

    def below(self, key: bytes | None, count: int) -> list[bytes]:
        """The last keys below `key`, or of all, descending."""
        at = len(self._buckets) if key is None else bisect_left(self._lasts, key)
        found: list[bytes] = []
        if key is not None and at < len(self._buckets):
            end = bisect_left(self._buckets[at], key)
            found = self._buckets[at][max(0, end - count) : end][::-1]
        while len(found) < count and (at := at - 1) >= 0:
            found += self._buckets[at][-(count - len(found)) :][::-1]
        return found


_NONE = SortedKeys()
"""No keys; never changed."""


class MemoryBackend:
    """Keys and values; `fail_next_write` lets a test see what follows from a disk that is full."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys = SortedKeys()
        self._batch = _Batch()
        """The one that comes next."""
        self.fail_next_write: StoreFault | None = None

    def get(self, key: bytes) -> bytes | None:
        """The value of a key now."""
        return self._values.get(key)

    def snapshot(self) -> MemorySnapshot:
        """Everything as it is now."""
        return MemorySnapshot(self._values, self._keys, self._batch)

    def write(self, changes: Iterable[tuple[bytes, bytes | None]], sync: bool) -> None:
        """All changes at once, later ones over earlier ones; None deletes."""
        if self.fail_next_write is not None:
            fault, self.fail_next_write = self.fail_next_write, None
            raise fault
        batch = self._batch
        for key, value in changes:
            before = self._values.get(key)
            batch.before.setdefault(key, before)
            if value is not None:
                self._values[key] = value
                if before is None:
                    self._keys.add(key)
            elif before is not None:
                del self._values[key]
                self._keys.remove(key)
        if batch.before:
            self._batch = batch.next = _Batch()

    def close(self) -> None:
        """Nothing to close; what was written stays, as on a disk."""


class _Batch:
    """What a batch found: the values before it. Kept as long as a snapshot from before it is held."""

    __slots__ = ("before", "next")

    def __init__(self) -> None:
        self.before: dict[bytes, bytes | None] = {}
        self.next: _Batch | None = None
        """None: it has not been written."""


class MemorySnapshot:
    """The values as they are now, but for what batches since have found otherwise."""

    __slots__ = ("_before", "_gone", "_keys", "_next", "_values")

    def __init__(self, values: dict[bytes, bytes], keys: SortedKeys, next: _Batch) -> None:
        """next: the batch that will be the first one after it."""
        self._values = values
        self._keys = keys
        self._next = next
        self._before: dict[bytes, bytes | None] = {}
        """What batches found at which it has looked."""
        self._gone = _NONE
        """Keys that had a value before them and may have none now."""

    def _look(self) -> None:
        """At the batches since the last look: what each key had before the first of them counts."""
        while self._next.next is not None:
            if self._gone is _NONE:
                self._gone = SortedKeys()
            for key, value in self._next.before.items():
                if key not in self._before:
                    self._before[key] = value
                    if value is not None:
                        self._gone.add(key)
            self._next = self._next.next

    def get(self, key: bytes) -> bytes | None:
        """As Snapshot says."""
        if self._next.next is not None:
            self._look()
        return self._before[key] if key in self._before else self._values.get(key)

    def scan(self, start: bytes, stop: bytes | None, reverse: bool) -> Iterator[Pair]:
        """As Snapshot says."""
        return self._backwards(start, stop) if reverse else self._forwards(start, stop)

    def _forwards(self, start: bytes, stop: bytes | None) -> Iterator[Pair]:
        while True:
            self._look()
            now, gone = self._keys.above(start, stop, CHUNK), self._gone.above(start, stop, CHUNK)
            # behind the last key of a full chunk there may be others that the other list has already passed
            ends = [chunk[-1] for chunk in (now, gone) if len(chunk) == CHUNK]
            chunk = [key for key in sorted({*now, *gone}) if not ends or key <= min(ends)] if gone else now
            for key, value in [(key, self.get(key)) for key in chunk]:
                if value is not None:
                    yield key, value
            if not ends:
                return
            start = chunk[-1] + b"\0"

    def _backwards(self, start: bytes, stop: bytes | None) -> Iterator[Pair]:
        while True:
            self._look()
            now, gone = self._keys.below(stop, CHUNK), self._gone.below(stop, CHUNK)
            ends = [chunk[-1] for chunk in (now, gone) if len(chunk) == CHUNK]
            chunk = [key for key in sorted({*now, *gone}, reverse=True) if not ends or key >= max(ends)]
            for key, value in [(key, self.get(key)) for key in chunk]:
                if key < start:
                    return
                if value is not None:
                    yield key, value
            if not ends:
                return
            stop = chunk[-1]

    def close(self) -> None:
        """As Snapshot says; it is forgotten when nobody holds it."""
