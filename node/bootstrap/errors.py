"""Which documents are not taken."""

from __future__ import annotations

from node.errors import NodeError


class DocumentRefused(NodeError):
    """A document of which nothing is taken. reason: json, schema, version, beacon, epoch (asked for was another)."""
