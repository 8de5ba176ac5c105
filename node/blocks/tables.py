"""What hare agreed on, layer by layer: rows that the machine of hare puts, and from which blocks are made."""

from __future__ import annotations

from collections.abc import Sequence

from node.mesh.tables import LAYER
from node.store.table import Table
from protocol.codec.declare import vector
from protocol.types.ids import PROPOSAL_ID, LayerId, ProposalId

MAX_PROPOSALS = 2350
"""In one output."""

AGREED: Table[LayerId, Sequence[ProposalId]] = Table(
    b"ha", "what hare agreed on", LAYER, vector(PROPOSAL_ID, MAX_PROPOSALS)
)
"""Proposals in the order of hare's output; none: the layer is empty."""

TABLES = (AGREED,)
