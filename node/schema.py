"""All tables of a node, by the store that keeps them. A table that changes its form, or a new one, is a new version."""

from __future__ import annotations

from node.blocks import tables as blocks
from node.certificates import tables as certificates
from node.checkpoint import tables as checkpoint
from node.contract.owed import OWED
from node.ledger import tables as ledger
from node.mempool import tables as mempool
from node.mesh import tables as mesh
from node.store.own import SIGNED
from node.store.table import Schema

STATE = Schema(
    "state",
    1,
    (
        OWED,
        *ledger.TABLES,
        *mempool.TABLES,
        *checkpoint.TABLES,
        *certificates.TABLES,
        *mesh.TABLES,
        *blocks.TABLES,
    ),
)
OWN = Schema("own", 1, (SIGNED,))

SCHEMAS = {schema.name: schema for schema in (STATE, OWN)}
