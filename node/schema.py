"""All tables of a node, by the store that keeps them.

No release has made a node's stores yet: until one has, tables come and change within version 1, and a store of an
unreleased state may have to be made anew. From then on a table that is new or changes its form is a new version.
"""

from __future__ import annotations

from node.activation.smeshing.tables import TABLES as SMESHING
from node.activation.tables import TABLES as ACTIVATION
from node.beacon.machine import BEACONS
from node.blocks.tables import TABLES as BLOCKS
from node.bootstrap.tables import TABLES as BOOTSTRAP
from node.certificates.tables import TABLES as CERTIFICATES
from node.checkpoint import tables as checkpoint
from node.contract.owed import OWED
from node.hare.tables import TABLES as HARE
from node.ledger import tables as ledger
from node.malfeasance.tables import TABLES as MALFEASANCE
from node.mempool import tables as mempool
from node.mesh.tables import TABLES as MESH
from node.proposals.tables import TABLES as PROPOSALS
from node.store.own import SIGNED
from node.store.table import Schema
from node.sync.tables import TABLES as SYNC

STATE = Schema(
    "state",
    1,
    (
        OWED,
        *ledger.TABLES,
        *mempool.TABLES,
        *checkpoint.TABLES,
        *ACTIVATION,
        *MALFEASANCE,
        BEACONS,
        *CERTIFICATES,
        *MESH,
        *BLOCKS,
        *HARE,
        *BOOTSTRAP,
        *PROPOSALS,
        *SYNC,
    ),
)
OWN = Schema("own", 1, (SIGNED, *SMESHING))

SCHEMAS = {schema.name: schema for schema in (STATE, OWN)}
