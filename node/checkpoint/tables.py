"""The row that says from which checkpoint a store has begun. Protocol 09b-node-storage-libp2p, section 3.2."""

from __future__ import annotations

from typing import cast

from node.store.keys import fixed
from node.store.table import RowCodec, Table
from protocol.codec.declare import c32
from protocol.types.ids import LayerId

RESTORED: Table[bytes, LayerId] = Table(
    b"cr", "restored layer", fixed(0), cast(RowCodec[LayerId], c32), is_durable=True
)
"""One row, of the key `ONLY`: the layer that was restored, the first one that is applied after it."""
ONLY = b""

TABLES = (RESTORED,)
