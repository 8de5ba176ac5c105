"""The rows of this room: active sets that ballots name, and the ones that we made.

Ballots are the mesh's (`node.mesh.tables.BALLOTS`); what was signed is in `node.store.own.SIGNED`. Protocol 04b,
sections 4.2 and 6.
"""

from __future__ import annotations

from typing import Annotated

from node.store.keys import EPOCH, compound, fixed
from node.store.table import MARKER, Table
from node.store.view import Rows, Span
from protocol.codec.declare import Record, c64, record
from protocol.types.activation import EpochActiveSet
from protocol.types.ids import EpochId, Hash32

ACTIVE_SETS: Table[Hash32, EpochActiveSet] = Table(b"sa", "active sets", fixed(32), EpochActiveSet.codec)
"""By the hash of the ids, which does not cover the epoch: that of the ATXs, or the first one that came with a set."""
ACTIVE_SET_EPOCHS: Table[tuple[EpochId, Hash32], None] = Table(
    b"se", "active sets by epoch", compound(EPOCH, fixed(32)), MARKER
)
"""No index, so that sets of many megabytes need not be read to be deleted."""


@record
class OwnActiveSet(Record):
    """What the own ballots of an epoch count as active; the ids are in `ACTIVE_SETS`."""

    hash: Hash32
    weight: Annotated[int, c64]


OWN_ACTIVE_SETS: Table[EpochId, OwnActiveSet] = Table(b"so", "own active sets", EPOCH, OwnActiveSet.codec)
"""Made once an epoch: the first ballots of all own identities name the same one, also after a restart."""

TABLES = (ACTIVE_SETS, ACTIVE_SET_EPOCHS, OWN_ACTIVE_SETS)


def put_active_set(rows: Rows, hash: Hash32, active: EpochActiveSet) -> None:
    """Keep an active set; one that is there stays."""
    if not rows.has(ACTIVE_SETS, hash):
        rows.put(ACTIVE_SETS, hash, active)
        rows.put(ACTIVE_SET_EPOCHS, (active.epoch, hash), None)


def forget_active_sets(rows: Rows, before: EpochId) -> None:
    """Delete the active sets of the epochs before one."""
    for epoch, hash in list(rows.keys(ACTIVE_SET_EPOCHS, Span(stop=(before,)))):
        rows.delete(ACTIVE_SETS, hash)
        rows.delete(ACTIVE_SET_EPOCHS, (epoch, hash))
    for epoch in list(rows.keys(OWN_ACTIVE_SETS, Span(stop=before))):
        rows.delete(OWN_ACTIVE_SETS, epoch)
