"""What a machine is told besides messages: a layer began, a timer fell due, a demand was answered, rows changed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from node.store.table import Table
from protocol.types.ids import LayerId

from .demands import Demand, Result
from .effects import Deliver, Publish
from .instants import Instant
from .verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Tick:
    """A layer began."""

    layer: LayerId
    due: Instant
    """Its start."""


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer that the machine has set fell due."""

    key: Hashable
    due: Instant
    """When it should have; `now` may be later."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message was published; the network has it."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """A message was not published: its own handler did not accept it, or the network could not take it."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a demand, or of a message to be published, that a step asked for with a tag."""

    tag: Hashable
    """As it was given with the effect."""
    asked: Demand | Publish | Deliver
    result: Result | Sent | NotSent
    received: Instant


@dataclass(frozen=True, slots=True)
class Change:
    """Rows of a table that the machine watches were written by another machine's unit."""

    table: Table[Any, Any]
    keys: Sequence[Any]
    """Keys of rows that were put or deleted, ascending."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A demand that this machine serves: of a peer, or of another machine's step or ticket."""

    id: int
    """To be named in the `Reply`."""
    demand: Demand
    received: Instant
