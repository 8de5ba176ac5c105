"""Registrations of a key that has registered another challenge already: how many, how often, whose.

Any message that a node once signed is a valid signature of a registration (its first bytes as the prefix, its last 32
as the challenge), so a stranger can take a node's place in a round; the node then meets this conflict. It cannot be
mended alone, so it is shown. Specified in protocol 02-poet, section 7.1.
"""

from __future__ import annotations

from collections import OrderedDict, deque

WINDOW_MINUTES = 10
MINUTE_NS = 60_000_000_000
KEYS_KEPT = 1000
KEYS_SHOWN = 5


class Conflicts:
    """What is known of them. Times are Unix nanoseconds."""

    def __init__(self) -> None:
        self.total = 0
        self._minutes: deque[tuple[int, int]] = deque(maxlen=WINDOW_MINUTES)
        """Minute and how many there were in it."""
        self._keys: OrderedDict[bytes, int] = OrderedDict()

    def count(self, pubkey: bytes, now_ns: int) -> None:
        """One more."""
        self.total += 1
        minute = now_ns // MINUTE_NS
        if self._minutes and self._minutes[-1][0] == minute:
            self._minutes[-1] = (minute, self._minutes[-1][1] + 1)
        else:
            self._minutes.append((minute, 1))
        self._keys[pubkey] = self._keys.pop(pubkey, 0) + 1
        if len(self._keys) > KEYS_KEPT:
            self._keys.popitem(last=False)

    def per_minute(self, now_ns: int) -> float:
        """Over the last ten minutes."""
        first = now_ns // MINUTE_NS - WINDOW_MINUTES + 1
        return sum(count for minute, count in self._minutes if minute >= first) / WINDOW_MINUTES

    def latest(self) -> list[tuple[bytes, int]]:
        """The keys that met one last, and how often each did."""
        return [(key, self._keys[key]) for key in list(self._keys)[: -KEYS_SHOWN - 1 : -1]]
