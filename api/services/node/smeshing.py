"""What the operator's service of smeshing stands on: who smeshes here, over which data, for whom.

Everything may be called in the loop that serves clients. Specified in protocol 10-api, section 3.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from protocol.types.ids import Address, NodeId


class SetupState(IntEnum):
    """How far the data of the own identity is; the numbers are those of the wire."""

    NOT_STARTED = 1
    PREPARED = 2
    """What is missing is known."""
    IN_PROGRESS = 3
    PAUSED = 4
    COMPLETE = 5
    ERROR = 6


@dataclass(frozen=True, slots=True)
class SetupOptions:
    """The data that is wanted."""

    data_dir: str
    num_units: int
    max_file_size: int
    """Bytes."""
    provider: int | None = None
    """The device that makes labels, by its number; None: the fastest."""
    throttle: bool = False


@dataclass(frozen=True, slots=True)
class Setup:
    """The data as it is now."""

    state: SetupState = SetupState.NOT_STARTED
    labels_written: int = 0
    options: SetupOptions | None = None
    """None before the first start."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A device that can make labels."""

    id: int
    name: str
    labels_per_second: int = 0
    """0: not measured."""


class SmeshingRefused(Exception):
    """Smeshing is not begun or ended, or nothing can be said of it. The text says why, without a full stop."""


class Smeshing(Protocol):
    """The smeshing of a node."""

    @property
    def is_supervised(self) -> bool:
        """Whether the node itself smeshes, for its one identity."""

    @property
    def is_smeshing(self) -> bool:
        """Whether it does so, or will as soon as it can."""

    def identities(self) -> Sequence[tuple[NodeId, str]]:
        """Whose activations are made, with the names of their key files."""

    def coinbase(self) -> Address:
        """Where rewards go; zeros where nobody has said."""

    def set_coinbase(self, coinbase: Address) -> None:
        """Of the activations that are made from now on. Not kept for the next start."""

    def setup(self) -> Setup:
        """The data of the own identity."""

    async def start(self, coinbase: Address, options: SetupOptions) -> None:
        """Make the data that is missing, then prove over it. Returns when that has begun. Raises SmeshingRefused."""

    async def stop(self, *, delete_files: bool) -> None:
        """End both. Raises SmeshingRefused."""

    async def providers(self, *, benchmark: bool) -> Sequence[Provider]:
        """The devices of this machine. Raises SmeshingRefused."""
