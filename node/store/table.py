"""What a room declares of its rows: a table with its keys and rows, and the indexes that lead to them.

    BALLOTS = Table(b"ba", "ballots", fixed(20), Ballot.codec)
    BY_LAYER = BALLOTS.index(b"bs", "ballots by layer", u32, lambda id, ballot: (ballot.inner.layer,))
    EARLIER_BY_LAYER = EARLIER.key_index(b"ly", "earlier versions by layer", u32, lambda key: (key[1],))

Entries of an index are written in the same batch as the row. An index over keys alone costs no reading; one over rows
reads the row before, to take its entries away. Prefixes have two bytes, so none begins with another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from .keys import KeyCodec

K = TypeVar("K")
R = TypeVar("R")
J = TypeVar("J")
T = TypeVar("T")

PREFIX_BYTES = 2
RESERVED = b"\0"
"""First byte of the prefixes that the store itself uses."""


class RowCodec(Protocol[T]):
    """How rows are written: any codec of `protocol.codec` does."""

    def encode(self, value: T, /) -> bytes:
        """The bytes of a row. Raises ProtocolError or ValueError for a value that cannot be written."""

    def decode(self, data: bytes, /) -> T:
        """The row of the bytes. Raises ProtocolError or ValueError."""


class Raw:
    """Rows that are bytes."""

    def encode(self, value: bytes, /) -> bytes:
        """The same bytes."""
        return value

    def decode(self, data: bytes, /) -> bytes:
        """The same bytes."""
        return data


class Marker:
    """Rows that hold nothing: being there is what they say."""

    def encode(self, value: None, /) -> bytes:
        """No bytes."""
        return b""

    def decode(self, data: bytes, /) -> None:
        """Raises ValueError where there are bytes."""
        if data:
            raise ValueError(f"the row has {len(data)} bytes, expected none")


RAW, MARKER = Raw(), Marker()


@dataclass(eq=False, slots=True)
class Space:
    """A prefix of the key space: a table or an index. Compared by identity."""

    prefix: bytes
    name: str
    """For people; unique in a schema."""
    is_own: bool = field(default=False, kw_only=True)
    """Kept in the own store: never lost, synced at every write, before anything else."""

    def __post_init__(self) -> None:
        if len(self.prefix) != PREFIX_BYTES or self.prefix.startswith(RESERVED):
            raise ValueError(f"{self.name}: the prefix {self.prefix!r} does not have two bytes, the first above 0")


@dataclass(eq=False, slots=True)
class Table(Space, Generic[K, R]):
    """Rows of one kind by their keys."""

    key: KeyCodec[K]
    row: RowCodec[R]
    is_durable: bool = False
    """On stable storage before the effects of the unit that writes it; other rows may be lost with the power, never
    with the process."""
    indexes: list[Index[Any, K, R]] = field(default_factory=list, init=False, repr=False)
    reads_rows: bool = field(default=False, init=False, repr=False)
    """Whether an index needs the row that was there before."""

    def index(self, prefix: bytes, name: str, key: KeyCodec[J], of: Callable[[K, R], Iterable[J]]) -> Index[J, K, R]:
        """Declares an index: `of` gives the entries of a row, none or several."""
        return self._add(Index(prefix, name, self, key, of, is_own=self.is_own))

    def key_index(self, prefix: bytes, name: str, key: KeyCodec[J], of: Callable[[K], Iterable[J]]) -> Index[J, K, R]:
        """Declares an index whose entries follow from the key alone."""
        return self._add(Index(prefix, name, self, key, None, of, is_own=self.is_own))

    def _add(self, index: Index[J, K, R]) -> Index[J, K, R]:
        self.indexes.append(index)
        self.reads_rows = self.reads_rows or index.reads_rows
        return index


@dataclass(eq=False, slots=True)
class Index(Space, Generic[J, K, R]):
    """Entries that lead to the rows of a table, sorted by their own keys, then by the table's."""

    table: Table[K, R]
    key: KeyCodec[J]
    of_row: Callable[[K, R], Iterable[J]] | None
    of_key: Callable[[K], Iterable[J]] | None = None
    """One of the two: the entries of a row, or of a key whatever the row is."""

    def __post_init__(self) -> None:
        Space.__post_init__(self)
        if self.key.size is None:
            raise ValueError(f"{self.name}: the key of an index has a fixed size")

    def entries(self, key: K, row: R | None, primary: bytes) -> list[bytes]:
        """The keys of the entries of a row, without the prefix; primary: the bytes of its key. row: None, and there are
        only entries that follow from the key."""
        encode = self.key.encode
        if self.of_key is not None:
            return [encode(one) + primary for one in self.of_key(key)]
        if self.of_row is None or row is None:
            return []
        return [encode(one) + primary for one in self.of_row(key, row)]

    @property
    def reads_rows(self) -> bool:
        """Whether the entries depend on the row."""
        return self.of_key is None

    def split(self, raw: bytes) -> tuple[J, bytes]:
        """The index's key and the bytes of the table's key in an entry. Raises ValueError."""
        size = self.key.size
        return self.key.decode(raw[:size]), raw[size:]


@dataclass(frozen=True)
class Schema:
    """The tables of one store, with the number of the version in which they have this form."""

    name: str
    """Which store it is: a store that was made as another one is refused."""
    version: int
    tables: Sequence[Table[Any, Any]]

    def __post_init__(self) -> None:
        spaces = self.spaces()
        for what in ("prefix", "name"):
            seen: dict[object, str] = {}
            for space in spaces:
                mark = getattr(space, what)
                if mark in seen:
                    raise ValueError(f"{space.name} has the {what} of {seen[mark]}, {mark!r}")
                seen[mark] = space.name

    def spaces(self) -> list[Space]:
        """All tables and indexes."""
        return [space for table in self.tables for space in (table, *table.indexes)]
