"""The ATXs of the epochs in memory: numbers in columns, identifiers in one array, all in the order of the ids.

A million ATXs take about 135 bytes each. New ones stand at the end, in a dictionary; when those have grown to a part of
all, everything is put into order anew. So adding stays cheap, and the many ids of an active set, in order like these,
are found in one pass. Epochs are those in which an ATX is active, one after its publication.
More than 400 lines, because one epoch and all of them keep the same columns in the same order.
Protocol 04-activation-beacon-eligibility, section 6, and 06-tortoise, section 9.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protocol.types.ids import Address, AtxId, EpochId, NodeId

ID_BYTES = 32
ID_WORDS = ID_BYTES // 8
COINBASE_BYTES = 24
FIRST_CAPACITY = 64
NEW_SHARE = 8
"""Everything is put into order when more than this part (an eighth) of the ATXs are new, and more than NEW_LEAST."""
NEW_LEAST = 4096

AT_ONCE_BYTES = ID_BYTES << 14
"""Ids of an active set that are looked for at once: what that takes in between stays in the processor's cache."""

MAX_WEIGHT = (1 << 63) - 1

ROWS_KEPT = 4096
"""Rows that an epoch keeps as objects, of those asked for one by one: mostly the same ones are, again and again."""

_COLUMNS = {
    "id": (np.uint64, ID_WORDS),
    "node": (np.uint64, ID_WORDS),
    "coinbase": (np.uint8, COINBASE_BYTES),
    "weight": (np.uint64, None),
    "base_height": (np.uint64, None),
    "height": (np.uint64, None),
    "nonce": (np.uint64, None),
    "received": (np.int64, None),
    "order": (np.uint32, None),
    "is_malicious": (np.bool_, None),
}
"""Kind and width of each; identifiers are words whose order as numbers is that of the bytes."""

Column = np.ndarray[Any, np.dtype[Any]]
Indices = np.ndarray[tuple[int], np.dtype[np.int64]]
Weights = np.ndarray[tuple[int], np.dtype[np.uint64]]


def words_of(ids: bytes | bytearray | memoryview) -> Column:
    """Identifiers, one after another, as rows of words."""
    return np.frombuffer(ids, ">u8").astype(np.uint64).reshape(-1, ID_WORDS)


def _check_whole(ids: bytes | bytearray | memoryview) -> None:
    if len(ids) % ID_BYTES:
        raise ValueError(f"{len(ids)} bytes of ids, expected a multiple of {ID_BYTES}")


def bytes_of(words: Column) -> bytes:
    """Rows of words as identifiers, one after another."""
    return words.astype(">u8").tobytes()


def order_of(words: Column) -> Indices:
    """The rows of identifiers in ascending order; equal ones as they stand.

    The first words decide, but for the few that share theirs.
    """
    first = np.ascontiguousarray(words[:, 0])
    if bool((first[1:] > first[:-1]).all()):
        return np.arange(len(first))
    order = np.argsort(first)
    first = first[order]
    is_same = first[1:] == first[:-1]
    if bool(is_same.any()):
        shared = np.zeros(len(first), bool)
        shared[:-1] = is_same
        shared[1:] |= is_same
        rows = np.sort(order[shared])
        order[shared] = rows[np.lexsort(tuple(words[rows, word] for word in reversed(range(ID_WORDS))))]
    return order


def row_of(words: Column, id: bytes) -> int | None:
    """The first row of an identifier among ascending ones; None where it is not there."""
    wanted = words_of(id)[0]
    row = int(np.searchsorted(words[:, 0], wanted[0]))
    while row < len(words) and words[row, 0] == wanted[0]:
        if bool((words[row] == wanted).all()):
            return row
        row += 1
    return None


def rows_of(words: Column, wanted: Column) -> Indices:
    """The rows of many identifiers among ascending ones; -1 where one is not there."""
    found = np.full(len(wanted), -1, np.int64)
    if len(words) and len(wanted):
        first = int(np.searchsorted(words[:, 0], wanted[0, 0]))
        if np.array_equal(words[first : first + len(wanted)], wanted):
            return np.arange(first, first + len(wanted))
        rows = np.minimum(np.searchsorted(words[:, 0], wanted[:, 0]), len(words) - 1)
        there = words[rows]
        if np.array_equal(there, wanted):
            return rows
        same = (there == wanted).all(axis=1)
        found[same] = rows[same]
        for position in np.flatnonzero(~same & (there[:, 0] == wanted[:, 0])):
            # another one with the same first word
            row = row_of(words, bytes_of(wanted[position]))
            found[position] = -1 if row is None else row
    return found


@dataclass(frozen=True, slots=True)
class AtxRow:
    """One ATX, as much of it as consensus needs."""

    id: AtxId
    node: NodeId
    coinbase: Address
    weight: int
    """Space units times ticks, below 2^63."""
    base_height: int
    """Ticks before it."""
    height: int
    """Ticks at its end."""
    nonce: int
    """The VRF nonce that counts in the epoch."""
    received: int = 0
    """Nanoseconds since 1970; 0: restored from a checkpoint."""


class EpochColumns:
    """The ATXs of one epoch. Mutable. Rows get other numbers when an ATX is added."""

    def __init__(self) -> None:
        self._columns: dict[str, Column] = {
            name: np.zeros(_shape(0, width), kind) for name, (kind, width) in _COLUMNS.items()
        }
        self._count = 0
        self._in_order = 0
        """So many rows, the first ones, are in the order of their ids."""
        self._new: dict[bytes, int] = {}
        """The rows of all others."""
        self._asked: dict[bytes, AtxRow | None] = {}
        self._asked_by_node: dict[bytes, tuple[AtxRow, ...]] = {}
        """What was found since an ATX was added, by id and by identity."""

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(column.nbytes for column in self._columns.values())

    def column(self, name: str) -> Column:
        """A column over all rows; not to be changed."""
        return self._columns[name][: self._count]

    def columns(self) -> dict[str, Column]:
        """All columns by their names, as `load` takes them; not to be changed."""
        return {name: self.column(name) for name in _COLUMNS}

    def add(self, atx: AtxRow, *, is_malicious: bool = False) -> bool:
        """Add an ATX; whether it is new. is_malicious: its smesher broke the rules.

        Raises ValueError for a weight of 2^63 or more.
        """
        if not 0 <= atx.weight <= MAX_WEIGHT:
            raise ValueError(f"weight of ATX {atx.id.hex()} is {atx.weight}, expected below 2^63")
        if self.find(atx.id) is not None:
            return False
        row = self._count
        if row == len(self._columns["id"]):
            room = max(FIRST_CAPACITY, row // 4)
            for name, (kind, width) in _COLUMNS.items():
                self._columns[name] = np.concatenate((self._columns[name], np.zeros(_shape(room, width), kind)))
        columns = self._columns
        columns["id"][row] = words_of(atx.id)
        columns["node"][row] = words_of(atx.node)
        columns["coinbase"][row] = np.frombuffer(atx.coinbase, np.uint8)
        columns["weight"][row], columns["base_height"][row] = atx.weight, atx.base_height
        columns["height"][row], columns["nonce"][row] = atx.height, atx.nonce
        columns["received"][row], columns["order"][row] = atx.received, row
        columns["is_malicious"][row] = is_malicious
        self._new[bytes(atx.id)] = row
        self._count += 1
        self._forget_asked()
        if len(self._new) > max(NEW_LEAST, self._count // NEW_SHARE):
            self._put_in_order()
        return True

    def load(self, columns: dict[str, Column]) -> None:
        """Take many at once, in the form of `columns`, out of the dictionary; none may be known.

        Raises ValueError for a doubled id.
        """
        before = self._count
        for name in _COLUMNS:
            self._columns[name] = np.concatenate((self.column(name), columns.pop(name)))
        self._count = len(self._columns["id"])
        self._columns["order"][before:] += np.uint32(before)
        self._put_in_order()
        ids = self._columns["id"]
        if self._count > 1 and bool((ids[1:] == ids[:-1]).all(axis=1).any()):
            raise ValueError("an ATX stands twice in the epoch")

    def _put_in_order(self) -> None:
        first_words = self.column("id")[:, 0]
        if not bool((first_words[1:] > first_words[:-1]).all()):  # as they are in the store
            order = order_of(self.column("id"))
            for name in _COLUMNS:
                self._columns[name] = self.column(name)[order]
        self._in_order, self._new = self._count, {}
        self._forget_asked()

    def _forget_asked(self) -> None:
        if self._asked:
            self._asked = {}
        if self._asked_by_node:
            self._asked_by_node = {}

    def get(self, id: AtxId) -> AtxRow | None:
        """An ATX; None where it is not known."""
        if id in self._asked:
            return self._asked[id]
        row = self.find(id)
        found = None if row is None else self.at(row)
        if len(self._asked) >= ROWS_KEPT:
            self._asked.clear()
        self._asked[id] = found
        return found

    def by_node(self, node: NodeId) -> tuple[AtxRow, ...]:
        """The ATXs of an identity, the first to come first."""
        found = self._asked_by_node.get(node)
        if found is None:
            found = tuple(self.at(int(row)) for row in self.rows_of(node))
            if len(self._asked_by_node) >= ROWS_KEPT:
                self._asked_by_node.clear()
            self._asked_by_node[node] = found
        return found

    def find(self, id: AtxId) -> int | None:
        """The row of an ATX; None where it is not known."""
        new = self._new.get(id)
        if new is not None:
            return new
        return row_of(self._columns["id"][: self._in_order], id) if self._in_order else None

    def find_all(self, ids: bytes | bytearray | memoryview) -> Indices:
        """The rows of many ATXs, given as their ids one after another; -1 where one is not known.

        Fastest where the ids are in order, as in an active set. Raises ValueError where a part of an id is left.
        """
        _check_whole(ids)
        wanted = words_of(ids)
        known = self._columns["id"][: self._in_order]
        found = rows_of(known, wanted)
        if self._new:
            for position in np.flatnonzero(found < 0):
                found[position] = self._new.get(bytes_of(wanted[position]), -1)
        return found

    def rows_of(self, node: NodeId) -> Indices:
        """The rows of an identity's ATXs, the first to come first."""
        rows = np.flatnonzero((self.column("node") == words_of(node)).all(axis=1))
        return rows[np.argsort(self.column("order")[rows])]

    def highest(self, count: int) -> list[AtxId]:
        """The ids of at most so many ATXs (1 or more) whose smesher is not marked, the highest first."""
        rows = np.flatnonzero(~self.column("is_malicious"))
        heights = self.column("height")[rows]
        if len(rows) > count:
            top = np.argpartition(heights, len(rows) - count)[len(rows) - count :]
            top.sort()
            rows, heights = rows[top], heights[top]
        order = np.argsort(~heights, kind="stable")
        ids = self.column("id")
        return [AtxId(bytes_of(ids[row])) for row in rows[order]]

    def mark_malicious(self, node: NodeId) -> None:
        """The smesher of these ATXs broke the rules."""
        self._columns["is_malicious"][self.rows_of(node)] = True

    def mark_all_malicious(self, nodes: Iterable[bytes]) -> None:
        """The same of many at once."""
        marked = words_of(b"".join(sorted(nodes)))
        self.column("is_malicious")[rows_of(marked, self.column("node")) >= 0] = True

    def at(self, row: int) -> AtxRow:
        """An ATX by its row."""
        columns = self._columns
        return AtxRow(
            AtxId(bytes_of(columns["id"][row])),
            NodeId(bytes_of(columns["node"][row])),
            Address(columns["coinbase"][row].tobytes()),
            int(columns["weight"][row]),
            int(columns["base_height"][row]),
            int(columns["height"][row]),
            int(columns["nonce"][row]),
            int(columns["received"][row]),
        )


def _shape(rows: int, width: int | None) -> tuple[int, ...]:
    return (rows,) if width is None else (rows, width)


class AtxColumns:
    """The ATXs of all epochs in memory, and who is malicious. Mutable."""

    def __init__(self) -> None:
        self._epochs: dict[EpochId, EpochColumns] = {}
        self._malicious: set[bytes] = set()
        self._evicted = -1
        self._touches = 0

    @property
    def touches(self) -> int:
        """Grows with every change."""
        return self._touches

    @property
    def nbytes(self) -> int:
        """Bytes of all columns and indexes."""
        return sum(epoch.nbytes for epoch in self._epochs.values())

    def epoch(self, number: EpochId) -> EpochColumns:
        """The ATXs of an epoch; empty where none is known."""
        return self._epochs.get(number, _EMPTY)

    def add(self, epoch: EpochId, atx: AtxRow) -> bool:
        """Add an ATX; whether it is new. Those of epochs that are outside the window are not kept."""
        if epoch <= self._evicted:
            return False
        self._touches += 1
        columns = self._epochs.setdefault(epoch, EpochColumns())
        return columns.add(atx, is_malicious=bytes(atx.node) in self._malicious)

    def load(self, epoch: EpochId, columns_of_rows: dict[str, Column]) -> None:
        """Take many at once, at start, as `EpochColumns.load`. Raises ValueError for a doubled id."""
        self._touches += 1
        columns = self._epochs.setdefault(epoch, EpochColumns())
        columns.load(columns_of_rows)
        columns.mark_all_malicious(self._malicious)

    def get(self, epoch: EpochId, id: AtxId) -> AtxRow | None:
        """One ATX; None where it is not known."""
        columns = self._epochs.get(epoch)
        return None if columns is None else columns.get(id)

    def by_node(self, epoch: EpochId, node: NodeId) -> Sequence[AtxRow]:
        """The ATXs of an identity in an epoch, in the order in which they came."""
        columns = self._epochs.get(epoch)
        return () if columns is None else columns.by_node(node)

    def missing(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        """Those that are not known, in their order."""
        if not ids:
            return []
        rows = self.epoch(epoch).find_all(b"".join(ids))
        return [ids[int(position)] for position in np.flatnonzero(rows < 0)]

    def weight_of(self, epoch: EpochId, ids: bytes | bytearray | memoryview) -> int | None:
        """The weight of an active set, its ids one after another; None where one of them is not known.

        Fastest where the ids are in order. Raises ValueError where a part of an id is left.
        """
        _check_whole(ids)
        columns = self.epoch(epoch)
        weights, weight = columns.column("weight"), 0
        for begin in range(0, len(ids), AT_ONCE_BYTES):
            rows = columns.find_all(memoryview(ids)[begin : begin + AT_ONCE_BYTES])
            if int(rows.min()) < 0:
                return None
            weight += total(weights[rows])
        return weight

    def mark_malicious(self, node: NodeId) -> None:
        """An identity broke the rules."""
        if bytes(node) in self._malicious:
            return  # all its ATXs are marked: those that were here, and each that came later
        self._touches += 1
        self._malicious.add(bytes(node))
        for columns in self._epochs.values():
            columns.mark_malicious(node)

    def is_malicious(self, node: NodeId) -> bool:
        """Whether an identity is marked."""
        return bytes(node) in self._malicious

    def malicious(self) -> Iterable[NodeId]:
        """All that are marked."""
        return [NodeId(node) for node in sorted(self._malicious)]

    def median_height(self, epoch: EpochId) -> int:
        """Of the ATXs whose smesher is not marked: the mean of the middle two, cut off; 0 without any."""
        columns = self.epoch(epoch)
        heights = columns.column("height")[~columns.column("is_malicious")]
        if not len(heights):
            return 0
        middle = len(heights) // 2
        if len(heights) % 2:
            return int(np.partition(heights, middle)[middle])
        pair = np.partition(heights, [middle - 1, middle])
        return (int(pair[middle - 1]) + int(pair[middle])) // 2

    def evict(self, epoch: EpochId) -> None:
        """An epoch is outside the window; it and those before it are forgotten."""
        self._touches += 1
        self._evicted = max(self._evicted, int(epoch))
        for known in [known for known in self._epochs if known <= epoch]:
            del self._epochs[known]


_EMPTY = EpochColumns()


def total(weights: Weights) -> int:
    """The sum of many weights, which may need more than 64 bits."""
    low = int((weights & np.uint64(0xFFFFFFFF)).sum(dtype=np.uint64))
    return low + (int((weights >> np.uint64(32)).sum(dtype=np.uint64)) << 32)
