"""What may be read: a snapshot of the stores, and rows that have not been written over it.

`Rows` are changes over a View, and a View themselves: what was put is read back, what was deleted is gone, ranges are
merged. Rows over rows are a journal that can be undone: merge the inner ones, or let go of them.

More than 400 lines, because reading through changes is defined once for points, ranges and indexes together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from protocol.errors import ProtocolError

from .errors import WHAT_TO_DO, StoreDamaged
from .keys import KeyCodec, successor
from .table import Index, Space, Table

K = TypeVar("K")
R = TypeVar("R")
J = TypeVar("J")

Pair = tuple[bytes, bytes]
"""Key and row as they are stored, without a prefix where a space is given."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of keys, in the order of their bytes. A bound of a compound key may be a tuple of its first parts, and
    stands for every key that begins with them."""

    within: Any = None
    """What all keys begin with: the first parts of a compound."""
    start: Any = None
    """The first key."""
    stop: Any = None
    """The first key that is no longer in the range."""
    last: Any = None
    """The last key; instead of `stop`."""
    reverse: bool = False
    """The last key first."""

    def bounds(self, key: KeyCodec[Any]) -> tuple[bytes, bytes | None]:
        """The first bytes, and the first ones behind the range; None: to the end. Raises ValueError."""
        low, high = b"", None
        if self.within is not None:
            low = key.encode_part(self.within)
            high = successor(low)
        if self.start is not None:
            low = max(low, key.encode_part(self.start))
        ends = [high]
        if self.stop is not None:
            ends.append(key.encode_part(self.stop))
        if self.last is not None:
            ends.append(successor(key.encode_part(self.last)))
        return low, min((end for end in ends if end is not None), default=None)


ALL = Span()
BACKWARDS = Span(reverse=True)


class Snapshot(Protocol):
    """A store as it was at one moment."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key with its prefix. Raises StoreFault."""

    def scan(self, start: bytes, stop: bytes | None, reverse: bool) -> Iterator[Pair]:
        """Keys from `start` on, below `stop`, with their values. Raises StoreFault."""

    def close(self) -> None:
        """Lets go of it; it is not to be read any more."""


class View(ABC):
    """Typed reading."""

    @property
    @abstractmethod
    def root(self) -> StoreView:
        """The view of the stores that is below everything else."""

    @abstractmethod
    def read(self, space: Space, raw: bytes) -> bytes | None:
        """The stored bytes of a key without its prefix. Raises StoreFault."""

    @abstractmethod
    def pairs(self, space: Space, start: bytes, stop: bytes | None, reverse: bool) -> Iterator[Pair]:
        """Stored keys, without prefix, and bytes, from `start` on, below `stop`. Raises StoreFault."""

    def get(self, table: Table[K, R], key: K) -> R | None:
        """The row of a key. Raises StoreFault."""
        raw = table.key.encode(key)
        data = self.read(table, raw)
        return None if data is None else decoded(table, raw, data)

    def has(self, table: Table[K, Any], key: K) -> bool:
        """Whether there is a row. Raises StoreFault."""
        return self.read(table, table.key.encode(key)) is not None

    def scan(self, table: Table[K, R], span: Span = ALL) -> Iterator[tuple[K, R]]:
        """Rows in the order of their keys. Raises StoreFault."""
        for raw, data in self.pairs(table, *span.bounds(table.key), span.reverse):
            yield decoded_key(table, raw), decoded(table, raw, data)

    def keys(self, table: Table[K, Any], span: Span = ALL) -> Iterator[K]:
        """The keys alone, as `scan` gives them. Raises StoreFault."""
        for raw, _ in self.pairs(table, *span.bounds(table.key), span.reverse):
            yield decoded_key(table, raw)

    def first(self, table: Table[K, R], span: Span = ALL) -> tuple[K, R] | None:
        """The first row that `scan` gives; with `reverse` that is the last one of the range. Raises StoreFault."""
        return next(self.scan(table, span), None)

    def find(self, index: Index[J, K, Any], span: Span = ALL) -> Iterator[tuple[J, K]]:
        """Entries of an index, with the keys of the rows that they lead to; the span is one of index keys.

        Raises StoreFault.
        """
        for raw, _ in self.pairs(index, *span.bounds(index.key), span.reverse):
            entry, primary = decoded_entry(index, raw)
            yield entry, decoded_key(index.table, primary)

    def find_rows(self, index: Index[J, K, R], span: Span = ALL) -> Iterator[tuple[K, R]]:
        """The rows that the entries of an index lead to, in the order of the entries. Raises StoreFault."""
        for raw, _ in self.pairs(index, *span.bounds(index.key), span.reverse):
            _, primary = decoded_entry(index, raw)
            data = self.read(index.table, primary)
            if data is None:
                raise _damaged(
                    f"The index {index.name} leads to key {primary.hex()} of {index.table.name}, which has no row"
                )
            yield decoded_key(index.table, primary), decoded(index.table, primary, data)


class StoreView(View):
    """A snapshot of the state's store and one of the own store."""

    def __init__(self, state: Snapshot, own: Snapshot, made_at: Sequence[tuple[object, int]] = ()) -> None:
        """made_at: how many batches had been written to the stores."""
        self._state = state
        self._own = own
        self.made_at = made_at

    @property
    def root(self) -> StoreView:
        """As View says."""
        return self

    def get(self, table: Table[K, R], key: K) -> R | None:
        """As View says; in one step, since nearly every question ends here."""
        raw = table.key.encode(key)
        data = (self._own if table.is_own else self._state).get(table.prefix + raw)
        return None if data is None else decoded(table, raw, data)

    def read(self, space: Space, raw: bytes) -> bytes | None:
        """As View says."""
        return self._of(space).get(space.prefix + raw)

    def pairs(self, space: Space, start: bytes, stop: bytes | None, reverse: bool) -> Iterator[Pair]:
        """As View says."""
        prefix = space.prefix
        end = successor(prefix) if stop is None else prefix + stop
        cut = len(prefix)
        for key, data in self._of(space).scan(prefix + start, end, reverse):
            yield key[cut:], data

    def close(self) -> None:
        """Lets go of the snapshots."""
        self._state.close()
        self._own.close()

    def _of(self, space: Space) -> Snapshot:
        return self._own if space.is_own else self._state


class _Pending:
    """What is to be written in one space."""

    __slots__ = ("_order", "rows", "values")

    def __init__(self) -> None:
        self.rows: dict[bytes, object] = {}
        """Rows as they were put, so that they need not be decoded to be read back."""
        self.values: dict[bytes, bytes | None] = {}
        """None: the key is deleted."""
        self._order: list[bytes] | None = None

    def set(self, raw: bytes, value: bytes | None) -> None:
        self._order = None
        self.values[raw] = value

    def add(
        self, rows: Iterable[tuple[K, R]], key_bytes: Callable[[K], bytes], row_bytes: Callable[[R], bytes]
    ) -> None:
        self._order = None
        stored, values = self.rows, self.values
        for key, row in rows:
            raw = key_bytes(key)
            values[raw] = row_bytes(row)
            stored[raw] = row

    def take(self, written: Iterable[tuple[Any, object, bytes, bytes]]) -> None:
        """Keys and rows with the bytes of both."""
        self._order = None
        stored, values = self.rows, self.values
        for _, row, raw, data in written:
            values[raw] = data
            stored[raw] = row

    def index(
        self, index: Index[Any, K, R], written: Iterable[tuple[K, R, bytes, bytes]], before: Mapping[K, R]
    ) -> None:
        """The entries of rows that are written in place of those before."""
        self._order = None
        values, entries = self.values, index.entries
        for key, row, raw, _ in written:
            new = entries(key, row, raw)
            if index.reads_rows and (old := before.get(key)) is not None:
                for entry in entries(key, old, raw):
                    if entry not in new:
                        values[entry] = None
            for entry in new:
                values[entry] = b""

    def update(self, other: _Pending) -> None:
        self.rows.update(other.rows)
        self.values.update(other.values)
        self._order = None

    def between(self, start: bytes, stop: bytes | None, reverse: bool) -> list[tuple[bytes, bytes | None]]:
        if self._order is None:
            self._order = sorted(self.values)
        first = bisect_left(self._order, start)
        last = len(self._order) if stop is None else bisect_left(self._order, stop)
        keys = self._order[first:last]
        if reverse:
            keys.reverse()
        return [(key, self.values[key]) for key in keys]


class Rows(View):
    """Rows to be written, over a View. Iterating over a range is not disturbed by what is put meanwhile."""

    def __init__(self, below: View) -> None:
        self._below = below
        self._spaces: dict[Space, _Pending] = {}

    @property
    def root(self) -> StoreView:
        """As View says."""
        return self._below.root

    # ---- writing ----

    def put(self, table: Table[K, R], key: K, row: R) -> None:
        """A row, new or in place of the one before. Raises StoreFault; ProtocolError or ValueError for a row or a key
        that cannot be written, with nothing changed."""
        raw = table.key.encode(key)
        data = table.row.encode(row)
        if table.indexes:
            self._index(table, key, row, raw)
        pending = self._pending(table)
        pending.set(raw, data)
        pending.rows[raw] = row

    def put_many(self, table: Table[K, R], rows: Iterable[tuple[K, R]], before: Mapping[K, R] | None = None) -> None:
        """Many rows of one table, as `put` for each of them in their order, in two thirds of the time.

        before: the rows that are there, of those keys that have one, from a caller who has just read them and names no
        key twice: they are not read once more for the indexes. Raises as `put` does, with nothing put where `before` is
        given, else with the rows before the one that cannot be written put.
        """
        if not table.indexes:
            self._pending(table).add(rows, table.key.encode, table.row.encode)
        elif before is None:
            for key, row in rows:
                self.put(table, key, row)
        else:
            key_bytes, row_bytes = table.key.encode, table.row.encode
            written = [(key, row, key_bytes(key), row_bytes(row)) for key, row in rows]
            for index in table.indexes:
                self._pending(index).index(index, written, before)
            self._pending(table).take(written)

    def delete(self, table: Table[K, Any], key: K) -> None:
        """No row of this key any more; nothing where there is none. Raises StoreFault, ValueError."""
        raw = table.key.encode(key)
        if table.indexes:
            self._unindex(table, key, raw)
        self._pending(table).set(raw, None)

    def merge(self, inner: Rows) -> None:
        """Take over rows that were made over these; the inner ones are not to be used any more.

        Raises ValueError for rows over anything else: their indexes would be wrong.
        """
        if inner._below is not self:
            raise ValueError("only rows that were made over these can be merged into them")
        for space, pending in inner._spaces.items():
            mine = self._spaces.get(space)
            if mine is None:
                self._spaces[space] = pending
            else:
                mine.update(pending)

    # ---- what was written ----

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self._spaces

    @property
    def is_durable(self) -> bool:
        """Whether a row must be on stable storage before anything follows from it."""
        return any(isinstance(space, Table) and space.is_durable for space in self._spaces)

    def tables(self) -> list[Table[Any, Any]]:
        """The tables with changes."""
        return [space for space in self._spaces if isinstance(space, Table)]

    def changes(self, table: Table[K, R]) -> Iterator[tuple[K, R | None]]:
        """The changes of one table, keys ascending; None: deleted."""
        pending = self._spaces.get(table)
        for raw, data in () if pending is None else pending.between(b"", None, False):
            yield decoded_key(table, raw), None if data is None else decoded(table, raw, data)

    def put_rows(self, table: Table[K, R]) -> Iterator[tuple[K, R]]:
        """The rows of one table that are new or changed, keys ascending, as they were put: no row is decoded."""
        pending = self._spaces.get(table)
        for raw, data in () if pending is None else pending.between(b"", None, False):
            if data is not None:
                yield decoded_key(table, raw), cast(R, pending.rows[raw])  # type: ignore[union-attr]

    def raw_changes(self) -> Iterator[tuple[Space, dict[bytes, bytes | None]]]:
        """All changes as they are to be stored, keys without prefix; None: deleted."""
        for space, pending in self._spaces.items():
            yield space, pending.values

    # ---- reading ----

    def get(self, table: Table[K, R], key: K) -> R | None:
        """As View says. What was put is given back as the same object: rows are not to be changed."""
        pending = self._spaces.get(table)
        if pending is None:
            return self._below.get(table, key)
        raw = table.key.encode(key)
        if raw not in pending.values:
            return self._below.get(table, key)
        return None if pending.values[raw] is None else cast(R, pending.rows[raw])

    def read(self, space: Space, raw: bytes) -> bytes | None:
        """As View says."""
        pending = self._spaces.get(space)
        if pending is not None and raw in pending.values:
            return pending.values[raw]
        return self._below.read(space, raw)

    def pairs(self, space: Space, start: bytes, stop: bytes | None, reverse: bool) -> Iterator[Pair]:
        """As View says."""
        pending = self._spaces.get(space)
        below = self._below.pairs(space, start, stop, reverse)
        if pending is None:
            return below
        return _merged(pending.between(start, stop, reverse), below, reverse)

    # ---- indexes ----

    def _index(self, table: Table[K, R], key: K, row: R, raw: bytes) -> None:
        before = self.get(table, key) if table.reads_rows else None
        for index in table.indexes:
            new = index.entries(key, row, raw)
            pending = self._pending(index)
            if before is not None and index.reads_rows:
                for entry in set(index.entries(key, before, raw)).difference(new):
                    pending.set(entry, None)
            for entry in new:
                pending.set(entry, b"")

    def _unindex(self, table: Table[K, R], key: K, raw: bytes) -> None:
        before = self.get(table, key) if table.reads_rows else None
        for index in table.indexes:
            for entry in index.entries(key, before, raw):
                self._pending(index).set(entry, None)

    def _pending(self, space: Space) -> _Pending:
        pending = self._spaces.get(space)
        if pending is None:
            pending = self._spaces[space] = _Pending()
        return pending


def decoded(table: Table[Any, R], raw: bytes, data: bytes) -> R:
    """The row of stored bytes. Raises StoreDamaged: what cannot be read was not written by us."""
    try:
        return table.row.decode(data)
    except (ProtocolError, ValueError) as error:
        raise _damaged(f"The row of key {raw.hex()} of {table.name} cannot be read: {error}") from error


def decoded_key(table: Table[K, Any], raw: bytes) -> K:
    """The key of stored bytes. Raises StoreDamaged."""
    try:
        return table.key.decode(raw)
    except ValueError as error:
        raise _damaged(f"The key {raw.hex()} of {table.name} cannot be read: {error}") from error


def decoded_entry(index: Index[J, Any, Any], raw: bytes) -> tuple[J, bytes]:
    """Index key and bytes of the table's key in a stored entry. Raises StoreDamaged."""
    try:
        return index.split(raw)
    except ValueError as error:
        raise _damaged(f"The entry {raw.hex()} of {index.name} cannot be read: {error}") from error


def _damaged(text: str) -> StoreDamaged:
    return StoreDamaged(f"{text.removesuffix('.')}. {WHAT_TO_DO}")


def _merged(changed: list[tuple[bytes, bytes | None]], below: Iterator[Pair], reverse: bool) -> Iterator[Pair]:
    """Both in one order; where a key is in both, what was changed counts."""
    own = iter(changed)
    mine = next(own, None)
    for pair in below:
        key = pair[0]
        while mine is not None and (mine[0] > key if reverse else mine[0] < key):
            if mine[1] is not None:
                yield mine[0], mine[1]
            mine = next(own, None)
        if mine is not None and mine[0] == key:
            if mine[1] is not None:
                yield key, mine[1]
            mine = next(own, None)
        else:
            yield pair
    while mine is not None:
        if mine[1] is not None:
            yield mine[0], mine[1]
        mine = next(own, None)
