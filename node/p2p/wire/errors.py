"""The error of this room."""

from __future__ import annotations

from node.errors import NodeError


class WireError(NodeError):
    """Bytes of a peer, or a name of one, that do not follow the format. reason: a short fixed word."""


TRUNCATED = "truncated"
"""More bytes were expected."""
MALFORMED = "malformed"
"""Bytes that mean nothing."""
LIMIT = "limit"
"""A number or a length above what is taken."""
UNSUPPORTED = "unsupported"
"""Well formed, and of a kind that is not spoken here."""
NOT_AUTHENTIC = "not_authentic"
"""A signature or a tag does not hold: another network, another key, or bytes that were changed."""
