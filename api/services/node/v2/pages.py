"""What all lists and streams have in common: which part is asked for, and filters. Protocol 10-api, sections 1.7, 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.edge.rpc import Failed, Status
from node.queries.pages import Layers, Page
from protocol.types.ids import ID_SIZE, LayerId

MAX_LIMIT = 100
MAX_FILTER = 1000
"""Values of one filter: each is looked for, while others wait."""
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


def values_of(request: Any, field: str) -> Sequence[Any]:
    """The values of a filter. Raises Failed for more than are looked for at once."""
    values: Sequence[Any] = getattr(request, field)
    if len(values) > MAX_FILTER:
        raise Failed(
            Status.INVALID_ARGUMENT,
            f"{field} has {len(values)} values, expected {MAX_FILTER} at most; ask several times",
        )
    return values


def ids_of(request: Any, field: str) -> list[Any] | None:
    """The ids of a filter, empty where there is no filter; None where nothing meets it, for no id has such a length.

    Raises Failed.
    """
    given = values_of(request, field)
    found = [id for id in given if len(id) == ID_SIZE]
    return None if given and not found else found


def layers_of(first: int, last: int) -> Layers:
    """Bounds of which 0 means none."""
    return Layers(LayerId(first) if first else None, LayerId(last) if last else None)
