"""How a node asks its peers for the time. Protocol 03-encoding-and-types, section 4.11; 09b, section 1.2."""

from __future__ import annotations

from typing import Annotated

from protocol.codec.declare import Record, c64, record


@record
class PeersyncRequest(Record):
    """Asks for the time."""

    id: Annotated[int, c64]
    """Comes back in the answer."""


@record
class PeersyncResponse(Record):
    """A peer's time."""

    id: Annotated[int, c64]
    """As in the request."""
    timestamp: Annotated[int, c64]
    """Unix nanoseconds, the two's complement of negative ones."""
