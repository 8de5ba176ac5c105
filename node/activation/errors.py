"""Why an activation is not taken."""

from __future__ import annotations

from node.errors import NodeError


class AtxRefused(NodeError):
    """The activation breaks a rule, and whoever sent it is to blame. reason: the rule."""


class AtxIgnored(NodeError):
    """The activation cannot be taken, and nobody is to blame. reason: why."""
