"""What all streams have in common: events as they come, each read once for all who hear of it, and the end of a client
that is too slow for them.

Headers leave with the subscription, so that a client knows from when on it hears of everything. Specified in protocol
10-api, sections 1.7 and 9.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Generic, TypeVar

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
T = TypeVar("T")

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


class Once(Generic[E, T]):
    """What is told of an event, made when the first one tells it. Mutable: the last ones are kept.

    A thousand clients may hear of the same layer, with all that it has executed.
    """

    def __init__(self, make: Callable[[E], T], kept: int) -> None:
        self._make, self._kept = make, kept
        self._made: OrderedDict[int, tuple[E, T]] = OrderedDict()

    def of(self, event: E) -> T:
        """What `make` comes to. Raises as it does."""
        found = self._made.get(id(event))
        if found is not None:  # the event is held, so no other one has its identity
            return found[1]
        made = self._make(event)
        self._made[id(event)] = (event, made)
        if len(self._made) > self._kept:
            self._made.popitem(last=False)
        return made


async def following(subscription: Subscription[E]) -> AsyncIterator[E]:
    """The events of a subscription. Raises Failed (CANCELLED) where the client was too slow."""
    try:
        async for event in subscription:
            yield event
    except TooSlow as error:
        raise Failed(Status.CANCELLED, _FULL.get(error.kind, "buffer is full")) from None
