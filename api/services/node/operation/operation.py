"""What the operator's services stand on, beside a backend. Made by whoever puts a node together.

What is not known in this node, or not yet, is None; the default says so for whatever nobody has given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.types.ids import NodeId

from .history import History
from .log_tail import LogTail

if TYPE_CHECKING:
    from kernels.devices.types import Device


@dataclass(frozen=True, slots=True)
class OwnIdentity:
    """An identity of this node."""

    id: NodeId
    name: str
    """Of its key's file."""
    stopped: str | None = None
    """Why it signs no more."""
    is_smeshing: bool = True
    """Whether its activations are to be made."""


class Reachability(Enum):
    """Whether peers can connect to this node."""

    PUBLIC = "public"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class Operation:
    """Everything is called in the loop that serves clients, but for `devices`: in a thread, for it may take seconds."""

    identities: Callable[[], Sequence[OwnIdentity]]
    """In the order in which they are shown."""
    history: History
    """To be told of commits, as an Onlooker."""
    log: LogTail = field(default_factory=LogTail)
    """To be added to the root logger."""
    databases: Mapping[str, Path] = field(default_factory=dict)
    """The folder of each store, by its name."""
    devices: Callable[[], Sequence[Device]] = tuple
    clock_offset_ns: Callable[[], int | None] = lambda: None
    """How far this clock is ahead of the peers' median."""
    reachability: Callable[[], Reachability | None] = lambda: None
