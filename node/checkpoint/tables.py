"""The row that says from which checkpoint a store has begun. Protocol 09b-node-storage-libp2p, section 3.2."""

from __future__ import annotations

from node.store.keys import fixed
from node.store.table import Table
from protocol.codec.declare import codec_of
from protocol.types.ids import LayerId

RESTORED: Table[bytes, LayerId] = Table(b"cr", "restored layer", fixed(0), codec_of(LayerId), is_durable=True)
"""One row, of the key `ONLY`: the layer that was restored, the first one that is applied after it."""

TABLES = (RESTORED,)
