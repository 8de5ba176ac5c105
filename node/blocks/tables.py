"""What hare agreed on, layer by layer: rows that the machine of hare puts, and from which blocks are made."""

from __future__ import annotations

from collections.abc import Sequence

from node.store.keys import LAYER
from node.store.table import Table
from protocol.codec.declare import codec_of, vector
from protocol.types.ids import LayerId, ProposalId

MAX_PROPOSALS = 2350
"""In one output."""

AGREED: Table[LayerId, Sequence[ProposalId]] = Table(
    b"ha", "what hare agreed on", LAYER, vector(codec_of(ProposalId), MAX_PROPOSALS)
)
"""Proposals in the order of hare's output; none: the layer is empty."""

TABLES = (AGREED,)
