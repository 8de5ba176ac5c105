"""Which epochs have a published active set. The set itself is among those that ballots name.

The beacon of a document is the row of the epoch in `node.beacon.machine.BEACONS`.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.proposals.tables import ACTIVE_SETS, put_active_set
from node.store.keys import EPOCH
from node.store.table import Table
from node.store.view import Rows, View
from protocol.codec.declare import codec_of
from protocol.types.activation import EpochActiveSet, active_set_hash
from protocol.types.ids import AtxId, EpochId, Hash32

FALLBACKS: Table[EpochId, Hash32] = Table(b"fb", "published active sets", EPOCH, codec_of(Hash32))
"""By epoch: the hash of the set that was published for it."""

TABLES = (FALLBACKS,)


def fallback(view: View, epoch: EpochId) -> Sequence[AtxId] | None:
    """The active set that was published for an epoch; None where there is none."""
    hash = view.get(FALLBACKS, epoch)
    found = None if hash is None else view.get(ACTIVE_SETS, hash)
    return None if found is None else found.set


def put_fallback(rows: Rows, epoch: EpochId, ids: Sequence[AtxId]) -> bool:
    """Keep the active set that is published for an epoch; whether it is the first one, which stays."""
    if rows.has(FALLBACKS, epoch):
        return False
    ordered = sorted(ids)
    hash = active_set_hash(ordered)
    put_active_set(rows, hash, EpochActiveSet(epoch, ordered))
    rows.put(FALLBACKS, epoch, hash)
    return True
