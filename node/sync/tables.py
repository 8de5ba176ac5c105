"""How far the node has caught up, so that a start goes on where it stopped. Protocol 09a, sections 5.2, 5.3 and 5.7."""

from __future__ import annotations

from typing import Annotated, cast

from node.store.keys import EPOCH, ONLY, fixed
from node.store.table import RowCodec, Table
from node.store.view import View
from protocol.codec.declare import Record, c32, record
from protocol.codec.declare import u64 as fixed_u64
from protocol.types.ids import EpochId, LayerId


@record
class EpochDownload(Record):
    """How far the activations of an epoch are here."""

    asked: Annotated[int, fixed_u64]
    """When a peer's list came last, nanoseconds since 1970; 0: none did."""
    total: Annotated[int, c32]
    """Activations of the longest list, those that nobody has left out."""
    downloaded: Annotated[int, c32]
    """Of them, those that are here."""

    @property
    def is_complete(self) -> bool:
        """Whether none is missing."""
        return self.total == self.downloaded


EPOCHS: Table[EpochId, EpochDownload] = Table(b"ye", "downloaded epochs", EPOCH, EpochDownload.codec)
"""By the epoch in which the activations were published."""
MALFEASANCE_SYNCED: Table[bytes, int] = Table(
    b"ym", "last sync of malfeasance", fixed(0), cast(RowCodec[int], fixed_u64)
)
"""One row, of the key `ONLY`: nanoseconds since 1970."""
LAST_LAYER: Table[bytes, LayerId] = Table(b"yl", "last synced layer", fixed(0), cast(RowCodec[LayerId], c32))
"""One row, of the key `ONLY`: the ballots of this layer and of all before are here, as far as peers have them."""

TABLES = (EPOCHS, MALFEASANCE_SYNCED, LAST_LAYER)


def last_layer(view: View, genesis: LayerId) -> LayerId:
    """The last layer that was synced, the effective genesis before there was any."""
    return LayerId(max(view.get(LAST_LAYER, ONLY) or 0, genesis))
