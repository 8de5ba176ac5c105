"""A node, as roles and everybody who looks on see it. `node.SimNode` is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol, TypeVar

from node.store.view import View
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import EpochId, LayerId, NodeId

from .chance import Chance
from .keys import SimKeys
from .network import Network
from .timeline import Timeline

T = TypeVar("T")


class Seen(Protocol):
    """One node."""

    number: int
    is_honest: bool
    keys: SimKeys
    identities: frozenset[NodeId]
    """All of its keys, whether they may still sign or not."""
    time: NetworkTime
    timeline: Timeline
    network: Network
    chance: Chance
    events: Counter[str]
    """What the machines told of, by the name of the event."""
    lives: int
    """How often it has started."""

    @property
    def is_up(self) -> bool:
        """Whether it runs."""

    @property
    def verified(self) -> int:
        """The newest layer up to which it has verified all."""

    def margin(self, layer: LayerId) -> float | None:
        """By how much the votes that are counted for a layer exceed what verifying it takes, even if all that are
        missing were against: 1 is just enough. None where there is nothing to count."""

    def committee(self, epoch: EpochId) -> frozenset[NodeId] | None:
        """Who may have seats in the committees of an epoch, as it has made it up; None: it has not."""

    def read(self, function: Callable[[View], T]) -> T:
        """What a function says of its stores now. Only of a node that is up."""

    def double_signed(self, topic: str, first: bytes, second: bytes) -> None:
        """Its role has signed two messages for one slot."""
