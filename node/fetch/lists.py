"""Lists of ids that may have millions: read piece by piece, one piece a step, and kept for a while.

| state of a list | when a peer asks |
|---|---|
| not there, or too old | it is begun anew; the peer waits |
| being read | the peer waits |
| read | sent as it is |

A list that is kept is as old as `list_age` at most; peers ask for it every few hours. Protocol 09a, section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from node.activation.tables import COLUMNS
from node.contract.instants import Instant
from node.fetch.parameters import ServerParameters
from node.malfeasance.tables import PROOFS
from node.store.keys import successor
from node.store.table import Table
from node.store.view import Span, View
from protocol.codec.declare import c32
from protocol.numbers.layers import MAX_LAYER
from protocol.types.fetch import MAX_IDS
from protocol.types.ids import ID_SIZE, EpochId

ListKey = EpochId | None
"""An epoch: the activations published in it; None: malicious identities."""


@dataclass(slots=True)
class _IdsOfRange:
    """The ids that end the keys of a range of a table."""

    table: Table[Any, Any]
    next: bytes
    """The first key that was not read yet."""
    stop: bytes | None
    ids: bytearray = field(default_factory=bytearray)
    made_at: Instant | None = None
    """None: it is still being read."""

    def read(self, view: View, count: int, now: Instant) -> None:
        """Read so many more."""
        pairs = view.pairs(self.table, self.next, self.stop, False)
        room = MAX_IDS * ID_SIZE - len(self.ids)
        for raw, _ in pairs:
            if not room:
                break
            self.ids += raw[-ID_SIZE:]
            room -= ID_SIZE
            count -= 1
            if not count:
                self.next = raw + b"\0"
                return
        self.made_at = now


class IdLists:
    """The lists that were asked for last."""

    def __init__(self, parameters: ServerParameters) -> None:
        self._parameters = parameters
        self._lists: dict[ListKey, _IdsOfRange] = {}
        """The one that was begun first comes first."""

    @property
    def is_reading(self) -> bool:
        """Whether a list is being read."""
        return any(one.made_at is None for one in self._lists.values())

    def ask(self, key: ListKey, now: Instant) -> bytes | None:
        """A list as it is sent; None: it is being read."""
        known = self._lists.get(key)
        if known is not None and known.made_at is not None and now - known.made_at > self._parameters.list_age:
            known = None
        if known is None:
            self._lists.pop(key, None)
            self._lists[key] = _range_of(key)
            self._forget()
            return None
        return None if known.made_at is None else c32.encode(len(known.ids) // ID_SIZE) + bytes(known.ids)

    def read(self, view: View, now: Instant) -> None:
        """Go on with one list."""
        for one in self._lists.values():
            if one.made_at is None:
                one.read(view, self._parameters.ids_of_step, now)
                return

    def _forget(self) -> None:
        done = [key for key, one in self._lists.items() if one.made_at is not None]
        for key in done[: max(0, len(self._lists) - self._parameters.lists_kept)]:
            del self._lists[key]


def _range_of(key: ListKey) -> _IdsOfRange:
    if key is None:
        return _IdsOfRange(PROOFS, b"", None)
    if key >= MAX_LAYER:  # no epoch comes after it
        return _IdsOfRange(COLUMNS, b"", b"")
    # columns are kept by the epoch in which activations count, the one after
    start, stop = Span(within=(key + 1,)).bounds(COLUMNS.key)
    return _IdsOfRange(COLUMNS, start, stop if stop is not None else successor(start))
