"""How a node asks its peers for the time. Protocol 03-encoding-and-types, section 4.11; 09b, section 1.2."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.codec.declare import c64, struct


@dataclass(frozen=True, slots=True)
class PeersyncRequest:
    """Asks for the time."""

    id: int
    """Comes back in the answer."""

    codec = struct(id=c64)


@dataclass(frozen=True, slots=True)
class PeersyncResponse:
    """A peer's time."""

    id: int
    timestamp: int
    """Unix nanoseconds, the two's complement of negative ones."""

    codec = struct(id=c64, timestamp=c64)
