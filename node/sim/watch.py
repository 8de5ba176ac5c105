"""Who looks on: invariants, the recorder, the log. They are told of everything and change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.contract.instants import Instant
from node.engine.edges import Input, Outputs
from protocol.types.ids import LayerId

from .disk import Changes, Crash
from .seen import Seen


@dataclass(frozen=True, slots=True)
class Violation:
    """Something happened that must not."""

    invariant: str
    at: Instant
    node: int | None
    """Where it was seen; None: in the network as a whole."""
    sentence: str

    def __str__(self) -> str:
        where = "" if self.node is None else f"node {self.node}: "
        return f"{self.invariant}: {where}{self.sentence}"


class Watcher:
    """Is told of what happens; a method that is not written does nothing."""

    def turned(self, node: Seen, inputs: Sequence[Input], outputs: Outputs) -> None:
        """A turn of a node was committed, and this is what leaves it."""

    def started(self, node: Seen, outputs: Outputs) -> None:
        """A node has started, or started again."""

    def crashed(self, node: Seen, kind: Crash) -> None:
        """A node is down."""

    def stopped(self, node: Seen, error: BaseException) -> None:
        """The engine of a node stopped by itself, which no input should bring about."""

    def own_rows(self, node: Seen, changes: Changes) -> None:
        """A batch is about to be written into a node's own store."""

    def double_signed(self, node: Seen, topic: str, first: bytes, second: bytes) -> None:
        """A dishonest node has signed two messages for one slot, and sends them."""

    def layer_began(self, layer: LayerId) -> None:
        """By the time of the world."""

    def ended(self) -> None:
        """The run is over."""
