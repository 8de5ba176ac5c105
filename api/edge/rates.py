"""How often one client may ask: so many times a second on average, and so many at once.

For each client one number is kept, the moment at which all that it has asked would have been asked at an even pace; who
is not ahead of it costs nothing and is forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable

FORGOTTEN_ABOVE = 4096
"""Clients that are remembered before those are looked for who need not be."""


class Rates:
    """The pace of every client."""

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        """burst: as many may come at once after a pause."""
        self._each = 1 / per_s
        self._ahead = (burst - 1) / per_s
        self._clock = clock
        self._even: dict[str, float] = {}
        self._forget_above = FORGOTTEN_ABOVE

    def take(self, client: str) -> bool:
        """Whether a client may ask once more now; if it may, that is counted."""
        now = self._clock()
        even = max(self._even.get(client, now), now)
        if even - now > self._ahead:
            return False
        self._even[client] = even + self._each
        if len(self._even) > self._forget_above:
            self._even = {client: even for client, even in self._even.items() if even > now}
            self._forget_above = max(FORGOTTEN_ABOVE, 2 * len(self._even))
        return True
