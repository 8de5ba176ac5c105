"""All tables of a node, by the store that keeps them. A table that changes its form, or a new one, is a new version."""

from __future__ import annotations

from node.activation.tables import TABLES as ACTIVATION
from node.contract.owed import OWED
from node.malfeasance.tables import TABLES as MALFEASANCE
from node.store.own import SIGNED
from node.store.table import Schema

STATE = Schema("state", 1, (OWED, *ACTIVATION, *MALFEASANCE))
OWN = Schema("own", 1, (SIGNED,))

SCHEMAS = {schema.name: schema for schema in (STATE, OWN)}
