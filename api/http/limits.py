"""How much a client may send, hold and delay, as numbers in one place.

A server's memory is bounded by `buffered_bytes` whatever the number of clients; its time by three deadlines, none of
which a byte now and then puts off.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

SMALL_BODY = 4096
"""Bytes of a body or head that count in no budget: who sends so little is let in whatever others hold."""
RESERVED_FILES = 128
"""Open files that connections leave to everything else."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one listener. Times in seconds, sizes in bytes."""

    head_s: float = 5.0
    """From the connection, or from the first byte of a later request, to its complete head."""
    body_s: float = 60.0
    """From the head to the end of the body."""
    write_s: float = 30.0
    """For a client to take each piece of an answer."""
    idle_s: float = 120.0
    """Between two requests of a connection."""
    body_bytes: int = 8 << 20
    """Of one body."""
    buffered_bytes: int = 48 << 20
    """Of requests that are incomplete or in work, in all connections together."""
    line_bytes: int = 8190
    """Of the request line, and of one header."""
    headers: int = 100
    """Number of headers."""
    head_bytes: int = 64 << 10
    """Of a head as a whole."""
    connections: int | None = None
    """At the same time; None: as many as there may be open files, but for a reserve."""

    def most_connections(self) -> int:
        """Connections at the same time."""
        if self.connections is not None:
            return self.connections
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return max(64, soft - RESERVED_FILES)


class Budget:
    """Bytes that all connections of a server hold together."""

    __slots__ = ("held", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0

    def take(self, count: int) -> bool:
        """Counts bytes; False where there is no room, and nothing is counted."""
        if self.held + count > self.most:
            return False
        self.held += count
        return True

    def give_back(self, count: int) -> None:
        """Bytes that are not held any more."""
        self.held -= count
