"""What a round keeps on disk: one layer of its tree, and a log that says which part of it is whole.

`kept_layer.bin` holds the finished nodes of one layer, 32 bytes each, in order; all above follows from them, all below
is made again when a proof is drawn. Every checkpoint appends nodes, waits until they are on stable storage, and then
appends a record with their checksum to `checkpoints.bin`. Leaves behind the last node need no trace: at the border of
a node nothing is parked below the kept layer. Protocol 02-poet, sections 3.2 and 13.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from protocol.types.poet import NODE_SIZE
from prover import durable
from prover.errors import DataError, UsageError

NODES_FILE = "kept_layer.bin"
LOG_FILE = "checkpoints.bin"

LOG_BYTES = 1 << 30
"""Of the log at most: a checkpoint a second for more than three months."""

KEEP_ALL_BYTES = 256 << 20
"""Every leaf is kept as long as the whole tree takes no more than this."""

KEPT_BYTES = 1 << 30
"""Otherwise the lowest layer is kept that takes no more than this."""

_MAGIC = b"smesher-poet-01\n"
_HEADER = struct.Struct("<16sII")
_RECORD = struct.Struct("<QQQ16s16s")


def kept_height(expected_leaves: int) -> int:
    """The layer to keep in a round of so many leaves; a block of 2^height leaves is made again for a proven leaf."""
    if 2 * NODE_SIZE * expected_leaves <= KEEP_ALL_BYTES:
        return 0
    height = 1
    while NODE_SIZE * (expected_leaves >> height) > KEPT_BYTES:
        height += 1
    return height


def disk_bytes(leaves: int, height: int, checkpoints: int) -> int:
    """What a round with so many leaves and checkpoints takes on disk at most."""
    return NODE_SIZE * (leaves >> height) + _RECORD.size * (checkpoints + 1) + 1024


@dataclass(frozen=True, slots=True)
class Segment:
    """Nodes first … last - 1 of the kept layer, as one checkpoint wrote them."""

    first: int
    last: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Log:
    """What the log says; nothing in it is known to be true of the nodes yet."""

    height: int
    statement: bytes
    segments: tuple[Segment, ...]
    """Ascending, without overlaps; a gap is a record that was damaged."""
    closed: int
    """The number of leaves at which the round ended; 0 while it runs."""
    records: int
    """Whole records in the file."""
    damaged_records: int

    @property
    def recorded(self) -> int:
        """Nodes that a checkpoint has recorded."""
        return self.segments[-1].last if self.segments else 0

    @property
    def has_gaps(self) -> bool:
        """Whether nodes before `recorded` are in no segment."""
        return sum(segment.last - segment.first for segment in self.segments) != self.recorded


class DamagedLog(DataError):
    """The log's beginning cannot be read, so it says nothing."""


class KeptLayer:
    """The kept layer of one round. Nodes are appended in memory and written by `commit`; one thread at a time."""

    def __init__(self, directory: Path, statement: bytes, height: int) -> None:
        """Takes the files as they are; use `create` or what `open_log` says."""
        self.directory = directory
        self.height = height
        self.statement = statement
        self.durable = 0
        """Nodes on stable storage, with their record."""
        self._pending = bytearray()
        self._log_size = 0
        self._nodes: int | None = None
        self._log: int | None = None
        self._key = _header(statement, height)[-16:]

    @property
    def count(self) -> int:
        """Nodes that are there, in memory or on disk."""
        return self.durable + len(self._pending) // NODE_SIZE

    @property
    def disk_bytes(self) -> int:
        """Bytes of both files."""
        return self.durable * NODE_SIZE + self._log_size

    @classmethod
    def create(cls, directory: Path, statement: bytes, height: int) -> KeptLayer:
        """Files for a new round. Raises UsageError when a round's files are there, OSError."""
        if has_round(directory):
            raise UsageError(f"{directory} already holds a round ({LOG_FILE}); resume it, or remove the round first.")
        layer = cls(directory, statement, height)
        _new_file(directory / NODES_FILE, b"")
        header = _header(statement, height)
        _new_file(directory / LOG_FILE, header)
        durable.sync_directory(directory)
        layer._log_size = len(header)
        layer._open()
        return layer

    @classmethod
    def reopen(cls, directory: Path, log: Log, count: int) -> KeptLayer:
        """The files of a round whose first `count` nodes are good; what is beyond is cut off, damaged records vanish.

        Raises OSError.
        """
        layer = cls(directory, log.statement, log.height)
        layer._open()
        assert layer._nodes is not None and layer._log is not None
        _truncate(layer._nodes, count * NODE_SIZE)
        header = _header(log.statement, log.height)
        if count == log.recorded and not log.damaged_records and not log.has_gaps:
            layer._log_size = len(header) + _RECORD.size * log.records
            _truncate(layer._log, layer._log_size)
        else:
            # something was mended or lost: one new record for all that is good
            nodes = read_at(layer._nodes, count * NODE_SIZE, 0)
            content = header + layer._record(Segment(0, count, layer.digest(0, nodes)), 0)
            if log.closed:
                content += layer._record(Segment(count, count, layer.digest(count, b"")), log.closed)
            layer.close()
            durable.replace(directory / LOG_FILE, content)
            layer._log_size = len(content)
        layer.durable = count
        return layer

    def digest(self, first: int, nodes: bytes) -> bytes:
        """The checksum of nodes at their place in this round."""
        return bytes(blake3(self._key + struct.pack("<Q", first) + nodes).digest(16))

    def append(self, nodes: bytes) -> None:
        """More nodes, a multiple of 32 bytes; in memory until `commit`."""
        self._pending += nodes

    def commit(self, closed: int = 0) -> None:
        """Brings what was appended to stable storage, and with `closed` the number of leaves the round ended at.

        Raises OSError; then everything is still in memory and the next call tries again.
        """
        if not self._pending and not closed:
            return
        self._open()
        assert self._nodes is not None and self._log is not None
        data = bytes(self._pending)
        segment = Segment(self.durable, self.durable + len(data) // NODE_SIZE, self.digest(self.durable, data))
        if data:
            durable.write_all_at(self._nodes, data, self.durable * NODE_SIZE)
            durable.sync_data(self._nodes)
        durable.write_all_at(self._log, self._record(segment, closed), self._log_size)
        durable.sync_data(self._log)
        self._log_size += _RECORD.size
        self.durable = segment.last
        del self._pending[: len(data)]

    def read(self, first: int, count: int) -> bytes:
        """Nodes first … first + count - 1. Raises OSError, DataError when the file is shorter than it was."""
        written = max(0, min(count, self.durable - first))
        data = b""
        if written:
            self._open()
            assert self._nodes is not None
            data = read_at(self._nodes, written * NODE_SIZE, first * NODE_SIZE)
            if len(data) < written * NODE_SIZE:
                raise DataError(f"{self.directory / NODES_FILE} ends before node {first + written}.")
        start = (first + written - self.durable) * NODE_SIZE
        return data + bytes(self._pending[start : start + (count - written) * NODE_SIZE])

    def overwrite(self, first: int, nodes: bytes) -> None:
        """Puts nodes that were made again into their place on disk. Raises OSError."""
        self._open()
        assert self._nodes is not None
        durable.write_all_at(self._nodes, nodes, first * NODE_SIZE)
        durable.sync_data(self._nodes)

    def close(self) -> None:
        """Closes the files; what was not committed stays in memory. May be called again."""
        for descriptor in (self._nodes, self._log):
            if descriptor is not None:
                os.close(descriptor)
        self._nodes = self._log = None

    def _open(self) -> None:
        flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        if self._nodes is None:
            self._nodes = os.open(self.directory / NODES_FILE, flags | os.O_CREAT, 0o600)
        if self._log is None:
            self._log = os.open(self.directory / LOG_FILE, flags)

    def _record(self, segment: Segment, closed: int) -> bytes:
        return _record(self._key, segment, closed)


def has_round(directory: Path) -> bool:
    """Whether files of a round of ours are in the directory."""
    return (directory / LOG_FILE).exists()


def remove_round(directory: Path) -> None:
    """Deletes the files of a round of ours, if there are any. Raises OSError."""
    for name in (LOG_FILE, NODES_FILE):
        (directory / name).unlink(missing_ok=True)


def open_log(directory: Path, statement: bytes, height: int) -> Log:
    """Reads the log of a round for a statement; `height` helps where the log's beginning is damaged.

    Raises UsageError when the round is for another statement, DamagedLog, OSError.
    """
    path = directory / LOG_FILE
    data = durable.read_whole(path, LOG_BYTES)
    found = _read_header(data)
    damaged = 0
    if found is not None and found[1] != statement:
        raise UsageError(
            f"{directory} holds a round for the statement {found[1].hex() or '(empty)'}, not for "
            f"{statement.hex() or '(empty)'}; use another directory, or remove that round first."
        )
    if found is None:
        # records that fit this round show that only the beginning is damaged, and that the height is right
        damaged = 1
        log = _read_records(data, height, statement, damaged)
        if not log.segments:
            raise DamagedLog(
                f"{path} does not begin as it was written and none of its records fits this round; "
                "the round starts again from its first leaf."
            )
        return log
    return _read_records(data, found[0], statement, damaged)


def _read_records(data: bytes, height: int, statement: bytes, damaged: int) -> Log:
    header = _header(statement, height)
    key = header[-16:]
    found: list[Segment] = []
    closed = 0
    whole = max(0, len(data) - len(header)) // _RECORD.size
    for number in range(whole):
        first, last, closed_at, digest, check = _RECORD.unpack_from(data, len(header) + number * _RECORD.size)
        segment = Segment(first, last, digest)
        if check != _check(key, segment, closed_at) or last < first or (found and first < found[-1].last):
            damaged += 1
            continue
        closed = closed_at or closed
        if last > first:
            found.append(segment)
    return Log(height, statement, tuple(found), closed, whole, damaged)


def whole_nodes(directory: Path) -> int:
    """Nodes that the file has, good or not."""
    try:
        return (directory / NODES_FILE).stat().st_size // NODE_SIZE
    except FileNotFoundError:
        return 0


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Up to `size` bytes from an offset; fewer only at the end of the file."""
    os.lseek(descriptor, offset, os.SEEK_SET)
    parts = []
    while size:
        part = os.read(descriptor, size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _header(statement: bytes, height: int) -> bytes:
    content = _HEADER.pack(_MAGIC, height, len(statement)) + statement
    return content + blake3(content).digest(16)


def _read_header(data: bytes) -> tuple[int, bytes] | None:
    if len(data) >= _HEADER.size:
        magic, height, length = _HEADER.unpack_from(data)
        statement = data[_HEADER.size : _HEADER.size + length]
        if magic == _MAGIC and height < 64 and data.startswith(_header(statement, height)):
            return height, statement
    return None


def _check(key: bytes, segment: Segment, closed: int) -> bytes:
    fields = struct.pack("<QQQ", segment.first, segment.last, closed)
    return bytes(blake3(b"record" + key + fields + segment.digest).digest(16))


def _record(key: bytes, segment: Segment, closed: int) -> bytes:
    check = _check(key, segment, closed)
    return _RECORD.pack(segment.first, segment.last, closed, segment.digest, check)


def _new_file(path: Path, content: bytes) -> None:
    descriptor = durable.open_new(path)
    try:
        durable.write_all_at(descriptor, content, 0)
        durable.sync(descriptor)
    finally:
        os.close(descriptor)


def _truncate(descriptor: int, size: int) -> None:
    if os.fstat(descriptor).st_size != size:
        os.ftruncate(descriptor, size)
        durable.sync(descriptor)


def put_aside(directory: Path) -> None:
    """Renames the files of a round that cannot be read, so that a new one can begin. Raises OSError."""
    for name in (LOG_FILE, NODES_FILE):
        if (directory / name).exists():
            durable.rename(directory / name, directory / f"{name}.damaged")
