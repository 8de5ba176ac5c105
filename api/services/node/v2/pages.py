"""What all lists and streams have in common: which part is asked for, and filters. Protocol 10-api, sections 1.7, 4."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.edge.rpc import Failed, Status
from node.queries.pages import Layers, Page
from protocol.types.ids import ID_SIZE, LayerId

MAX_LIMIT = 100
MAX_OFFSET = 1 << 62
"""Beyond every row."""
DESC = 1
"""SortOrder: the last ones first; every other number means ascending."""


def page_of(request: Any) -> Page:
    """The part of a list that a request asks for. Raises Failed: a limit must be set, up to 100."""
    if request.limit > MAX_LIMIT:
        raise Failed(Status.INVALID_ARGUMENT, f"limit is capped at {MAX_LIMIT}")
    if request.limit == 0:
        raise Failed(Status.INVALID_ARGUMENT, f"limit must be set to <= {MAX_LIMIT}")
    return Page(min(request.offset, MAX_OFFSET), request.limit)


def ids_of(ids: Iterable[bytes]) -> list[Any] | None:
    """The ids of a filter, empty where there is no filter; None where nothing meets it, for no id has such a length."""
    given = list(ids)
    found = [id for id in given if len(id) == ID_SIZE]
    return None if given and not found else found


def layers_of(first: int, last: int) -> Layers:
    """Bounds of which 0 means none."""
    return Layers(LayerId(first) if first else None, LayerId(last) if last else None)
