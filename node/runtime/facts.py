"""What a running node says of itself, and who is told of what it has committed.

Both leave the engine's thread as values: whoever serves clients does so in another one, and never waits for the engine
to have time, nor lets it wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from node.store.view import Rows
from protocol.types.ids import LayerId

if TYPE_CHECKING:
    from node.assembly.node import Node


@dataclass(frozen=True, slots=True)
class Facts:
    """A node as it was after a turn. Made anew after every turn; the newest one is read from any thread."""

    is_synced: bool
    is_atx_synced: bool
    latest: LayerId
    """The newest layer of which the mesh has seen anything."""
    applied: LayerId
    """The newest layer in the state; the effective genesis before the first one."""
    processed: LayerId
    """The newest layer that tortoise has counted."""
    verified: LayerId
    """Up to here tortoise has decided on every layer."""


class Onlooker(Protocol):
    """Who is told of every turn, in the engine's thread, after its rows were written and before its outputs leave."""

    def committed(self, rows: Rows, events: Sequence[object], facts: Facts) -> None:
        """rows: what was written; they are not to be read after this returns. events: what the machines told of."""


def facts_of(node: Node) -> Facts:
    """What a node is between two turns."""
    mesh, status = node.rooms.mesh, node.sync.status
    return Facts(
        is_synced=status.is_synced,
        is_atx_synced=status.is_atx_synced,
        latest=mesh.latest,
        applied=mesh.in_state,
        processed=mesh.processed,
        verified=node.rooms.tortoise.verified,
    )
