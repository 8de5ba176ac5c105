"""When to try the node again, when to give up, and how often to speak about it.

Attempts are counted since the last connection; so many retries are one more attempt. Specified in protocol
01-post-tools, section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.edge.errors import DataError
from api.edge.repeats import Repeats


class GivingUp(DataError):
    """No connection in the number of attempts that was allowed."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Try again after so many seconds."""

    seconds: float
    say: str | None
    """A sentence for the log, unless it was said less than a minute ago."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong with the connection last."""

    text: str
    at: float


class Reconnect:
    """One identity's way to the node."""

    def __init__(self, address: str, interval_s: float, max_retries: int | None = None) -> None:
        self.address = address
        self._interval_s = interval_s
        self._max_retries = max_retries
        self._voice = Repeats()
        self.attempts = 0
        """Failed since the last connection."""
        self.connected_since: float | None = None
        self.problem: Problem | None = None
        self.connections = 0
        self.failures = 0

    def connected(self, now: float) -> str | None:
        """The node is there; a sentence for the log."""
        self.attempts = 0
        self.connections += 1
        self.connected_since = now
        return self._voice.once(f"Connected to the node at {self.address}.", now)

    def failed(self, reason: str, now: float) -> Wait:
        """An attempt failed before there was a connection. Raises GivingUp."""
        self.attempts += 1
        self.failures += 1
        self.problem = Problem(reason, now)
        if self._max_retries is not None and self.attempts > self._max_retries:
            raise GivingUp(
                f"max retries ({self._max_retries}) reached: no connection to the node at {self.address}: {reason}. "
                "Check that the node runs and that its PoST listener has this address."
            )
        text = (
            f"No connection to the node at {self.address}: {reason}. Trying again every {self._interval_s:g} s; check "
            "that the node runs and that its PoST listener has this address."
        )
        return Wait(self._interval_s, self._voice.once(text, now))

    def ended(self, reason: str, now: float) -> Wait:
        """A connection ended, whoever ended it; the node's own words are the reason where it gave some."""
        self.connected_since = None
        self.problem = Problem(reason, now)
        text = f"The connection to the node at {self.address} ended: {reason}. Connecting again."
        return Wait(self._interval_s, self._voice.once(text, now))
