"""What a node says to the world, as opposed to what its machines would have it say. `roles` has the dishonest ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from node.contract.demands import Demand, Result

from .seen import Seen


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message that leaves a node."""

    topic: str
    data: bytes
    to: tuple[int, ...] | None = None
    """None: everyone."""
    delay: int = 0
    """Nanoseconds for which it is held back."""


class Role:
    """An honest one: it says what the machines say."""

    name: ClassVar[str] = "honest"
    is_honest: ClassVar[bool] = True

    def says(self, node: Seen, topic: str, data: bytes) -> Sequence[Parcel]:
        """What leaves in place of a message of the machines."""
        return (Parcel(topic, data),)

    def answers(self, node: Seen, result: Result) -> Result:
        """What a peer is answered in place of what the machines answer."""
        return result

    def proves(self, node: Seen, demand: Demand, result: Result) -> Result:
        """What the machines are told came of a demand."""
        return result


HONEST = Role()
