"""A message for a machine, with the way on which it came."""

from __future__ import annotations

from enum import Enum
from typing import NewType

from .instants import Instant
from .quick import quick

PeerId = NewType("PeerId", bytes)
"""A peer of the network, as its host names it. Not an identity: those are a `NodeId`."""


class Origin(Enum):
    """How a message came here."""

    GOSSIP = "gossip"
    """A peer published or forwarded it on a topic; the verdict says whether it goes on."""
    FETCHED = "fetched"
    """A peer sent it because its id was asked for."""
    OWN = "own"
    """This node is about to publish it."""
    RESTORED = "restored"
    """It was kept from before a recovery from a checkpoint."""


@quick(eq=False)
class Message:
    """Bytes that a machine is to judge. Compared by identity: the same bytes may come twice."""

    channel: str
    """The topic of gossip and of own messages; the hint of what was fetched or restored."""
    data: bytes
    origin: Origin
    received: Instant
    """Stays with the message, however long it waits."""
    peer: PeerId | None = None
    """Who sent it; None for own and restored ones."""
    expected: bytes | None = None
    """The id that was asked for, where it was fetched."""
