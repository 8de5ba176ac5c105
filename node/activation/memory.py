"""Who is told of activations, and what is read of them at start."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from node.malfeasance.tables import malicious
from node.store.view import Span, View
from protocol.types.ids import AtxId, EpochId, NodeId

from .columns import COINBASE_BYTES, ID_WORDS, AtxColumns, AtxRow, Column
from .tables import COLUMNS, StoredAtx

ROW = np.dtype(
    [
        ("id", ">u8", ID_WORDS),
        ("node", ">u8", ID_WORDS),
        ("coinbase", "u1", COINBASE_BYTES),
        ("weight", ">u8"),
        ("base_height", ">u8"),
        ("height", ">u8"),
        ("nonce", ">u8"),
        ("received", ">u8"),
    ]
)
"""The id, then a row of `tables.COLUMNS`."""
EPOCH_BYTES = 4


class Followers(Protocol):
    """Rooms that answer at once and want to know: tortoise, beacon."""

    def on_atx(self, epoch: EpochId, atx: AtxRow, *, is_new: bool) -> None:
        """An activation was stored that counts in an epoch. is_new: the columns have taken it just now."""

    def on_malicious(self, node: NodeId) -> None:
        """An identity broke the rules."""


class Memory:
    """The activations in memory. Mutable."""

    def __init__(self, columns: AtxColumns, followers: Followers) -> None:
        self.columns = columns
        self._followers = followers

    def add(self, id: AtxId, atx: StoredAtx, *, is_malicious: bool) -> None:
        """An activation was stored. is_malicious: its smesher is known to have broken the rules, perhaps by it."""
        if is_malicious:
            # before anybody counts the weight
            self.columns.mark_malicious(atx.smesher)
        row = atx.row(id)
        is_new = self.columns.add(atx.target_epoch, row)
        self._followers.on_atx(atx.target_epoch, row, is_new=is_new)

    def load(self, view: View, first: EpochId) -> None:
        """Read what is stored, at start. first: the first epoch in which activations count that are read."""
        if first > 0:
            self.columns.evict(EpochId(first - 1))
        for node in malicious(view):
            self.columns.mark_malicious(node)
        key, rows = b"", bytearray()
        low, high = Span(start=(first,)).bounds(COLUMNS.key)
        for raw, data in view.pairs(COLUMNS, low, high, False):
            if raw[:EPOCH_BYTES] != key:
                self._take(key, rows)
                key, rows = raw[:EPOCH_BYTES], bytearray()
            rows += raw[EPOCH_BYTES:]
            rows += data
        self._take(key, rows)

    def _take(self, key: bytes, rows: bytearray) -> None:
        """The rows of an epoch, as they are stored."""
        if rows:
            self.columns.load(EpochId(int.from_bytes(key, "big")), _columns(rows))


def _columns(rows: bytearray) -> dict[str, Column]:
    """Rows in the form in which the columns take them. Those of an identity are in the order of reception.

    The rows are cleared: a million of them take as much memory again.
    """
    table = np.frombuffer(rows, ROW)
    order = np.empty(len(table), np.uint32)
    order[np.argsort(table["received"], kind="stable")] = np.arange(len(table), dtype=np.uint32)
    columns = {name: table[name].astype(table[name].dtype.newbyteorder("=")) for name in ROW.names or ()}
    count = len(table)
    del table
    rows.clear()
    return {
        **columns,
        "received": columns["received"].astype(np.int64),
        "order": order,
        "is_malicious": np.zeros(count, np.bool_),
    }
