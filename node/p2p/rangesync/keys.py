"""A set of keys as it is at the beginning of a comparison: ranges, how many keys are in them, and their fingerprints.

A range goes from X up to Y, which it does not contain, and past the last key to the first where X is above Y; where
they are equal it is the whole set, beginning at X. Protocol 09a, section 6.2.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from protocol.types.ids import Hash32
from protocol.types.rangesync import FINGERPRINT_SIZE

NO_FINGERPRINT = bytes(FINGERPRINT_SIZE)


@dataclass(frozen=True, slots=True)
class Range:
    """The keys of a range: one part, or two where it goes past the last key."""

    parts: tuple[tuple[int, int], ...]
    """Places of the first key and behind the last one."""
    count: int
    fingerprint: bytes


class KeySet:
    """Keys of 32 bytes in their order."""

    def __init__(self, keys: Iterable[bytes], recent: Sequence[bytes] = ()) -> None:
        """recent: those that came last, in the order in which they are sent."""
        self._keys = sorted(set(keys))
        parts = (int.from_bytes(key[:FINGERPRINT_SIZE], "big") for key in self._keys)
        self._xor = list(accumulate(parts, lambda before, one: before ^ one, initial=0))
        self.recent = tuple(recent)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def whole(self) -> Hash32 | None:
        """Both ends of the range that is all of it: its first key; None: it is empty."""
        return Hash32(self._keys[0]) if self._keys else None

    def range(self, x: bytes, y: bytes) -> Range:
        """The keys from x on, below y."""
        first, stop, end = bisect_left(self._keys, x), bisect_left(self._keys, y), len(self._keys)
        return self._of(((first, stop),) if x < y else ((first, end), (0, stop)))

    def split(self, found: Range, y: bytes) -> tuple[Range, bytes, Range]:
        """Two halves, and the first key of the second one; y: where the range ends."""
        first: list[tuple[int, int]] = []
        second: list[tuple[int, int]] = []
        left = found.count // 2
        for start, stop in found.parts:
            cut = min(start + left, stop)
            left -= cut - start
            first.append((start, cut))
            second.append((cut, stop))
        middle = next((self._keys[start] for start, stop in second if start < stop), y)
        return self._of(tuple(first)), middle, self._of(tuple(second))

    def keys(self, found: Range, without: Collection[bytes] = ()) -> list[bytes]:
        """The keys of a range in its order."""
        return [key for start, stop in found.parts for key in self._keys[start:stop] if key not in without]

    def first(self, found: Range, count: int) -> list[bytes]:
        """The first keys of a range."""
        taken: list[bytes] = []
        for start, stop in found.parts:
            taken += self._keys[start : min(stop, start + count - len(taken))]
        return taken

    def _of(self, parts: tuple[tuple[int, int], ...]) -> Range:
        count, fingerprint = 0, 0
        for start, stop in parts:
            count += stop - start
            fingerprint ^= self._xor[stop] ^ self._xor[start]
        return Range(parts, count, fingerprint.to_bytes(FINGERPRINT_SIZE, "big"))
