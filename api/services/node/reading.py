"""Reading the rows of a node for a client: a snapshot that ends with the call, and faults as clients know them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from api.edge.rpc import Failed, Status
from node.store.errors import StoreFault
from node.store.view import View

if TYPE_CHECKING:
    from .backend import Backend


@contextmanager
def reading(backend: Backend) -> Iterator[View]:
    """A snapshot of the stores. Raises Failed (INTERNAL) where the stores cannot be read."""
    try:
        with backend.view() as view:
            yield view
    except StoreFault as error:
        raise Failed(Status.INTERNAL, str(error)) from error
