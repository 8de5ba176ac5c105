"""The weak coins of layers: rows that tortoise reads again when it starts. What hare agreed on is `node.blocks.tables`.

Protocol 05-consensus, section 5.
"""

from __future__ import annotations

from node.store.keys import LAYER
from node.store.table import Table
from protocol.codec.declare import boolean
from protocol.types.ids import LayerId

WEAK_COINS: Table[LayerId, bool] = Table(b"wk", "weak coins", LAYER, boolean)
"""Whether it showed heads; no row where nobody took part, or where this node was not there."""

TABLES = (WEAK_COINS,)
