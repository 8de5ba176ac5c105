"""What keeps a store from answering. Never a NodeError: a machine that judges messages must not catch it.

Messages are complete sentences that name the file, say what was found, and what to do.
"""

from __future__ import annotations

from typing import ClassVar

WHAT_TO_DO = "Run `smesher db check` on the data directory; restore it from a backup or begin it anew."
"""When rows are damaged."""


class StoreFault(Exception):
    """The store cannot be read or written. Whoever meets it stops; what was written before is kept."""

    exit_code: ClassVar[int] = 3
    """The exit code of a command that ends with this error: here the machine does not play along."""


class StoreFull(StoreFault):
    """There is no room on the disk. What was to be written is not there; with room again, the store is as before."""


class StoreDamaged(StoreFault):
    """What is stored is not what was written, or is missing."""

    exit_code: ClassVar[int] = 1


class StoreRefused(StoreFault):
    """The store is sound but not for this program: an unknown schema, other tables, another process holds it."""

    exit_code: ClassVar[int] = 1
