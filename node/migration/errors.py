"""What may go wrong with rows of another program."""

from __future__ import annotations

from node.errors import NodeError


class MigrationError(NodeError):
    """A row that cannot be taken. The message names the table, the row and the column.

    reason: unreadable, inconsistent.
    """
