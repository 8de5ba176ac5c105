"""What all streams have in common: events as they come, and the end of a client that is too slow for them.

Headers leave with the subscription, so that a client knows from when on it hears of everything. Specified in protocol
10-api, sections 1.7 and 9.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TypeVar

from api.edge.rpc import Failed, Status
from api.services.node.bus import Subscription, TooSlow
from api.services.node.events import (
    AccountChanged,
    AtxAdded,
    Event,
    LayerUpdated,
    NodeErred,
    RewardPaid,
    StatusChanged,
    TransactionAdded,
    TransactionDone,
)

E = TypeVar("E", bound=Event)

QUEUE = 65_536
"""Events that may wait for a client."""

_FULL: Mapping[type[object], str] = {
    TransactionAdded: "tx buffer is full",
    LayerUpdated: "layer buffer is full",
    AccountChanged: "account buffer is full",
    RewardPaid: "rewards buffer is full",
    AtxAdded: "activations buffer is full",
    StatusChanged: "status buffer is full",
    NodeErred: "errors buffer is full",
    TransactionDone: "buffer overflow",
}
"""What a client is told that did not take these in time."""


async def following(subscription: Subscription[E]) -> AsyncIterator[E]:
    """The events of a subscription. Raises Failed (CANCELLED) where the client was too slow."""
    try:
        async for event in subscription:
            yield event
    except TooSlow as error:
        raise Failed(Status.CANCELLED, _FULL.get(error.kind, "buffer is full")) from None
