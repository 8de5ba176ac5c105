"""The format of logs and manifests: blocks of 32 KiB with records, or pieces of them, behind checksums.

The writer only ever appends, so a kill leaves a piece that is cut short, at the end of the file: that is a torn tail,
and the state before it counts. Everything else that does not fit is damage. A length that was changed at the end of the
file looks like a tail that was torn; the checksum, which does not cover the length, tells one from the other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from kernels.crc32c import crc32c, first_end

from .findings import Finding, unmasked

BLOCK = 32768
HEADER = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass(slots=True)
class Log:
    """What a log holds."""

    name: str
    size: int
    records: list[bytes] = field(default_factory=list)
    torn_at: int | None = None
    """Where the record begins that was being written when the process or the machine stopped."""
    damage: Finding | None = None
    """The first fault; `records` are those before it."""


def read_log(name: str, data: bytes) -> Log:
    """The records of a log."""
    log = Log(name, len(data))
    begun_at = 0
    pieces: list[bytes] | None = None
    try:
        for at, kind, piece in _pieces(name, data):
            if kind in (FULL, FIRST):
                if pieces is not None:
                    raise _Damaged(Finding(name, begun_at, "a record has no end, and others follow"))
                begun_at, pieces = at, []
            if pieces is None:
                raise _Damaged(Finding(name, at, "a record has no beginning"))
            pieces.append(piece)
            if kind in (FULL, LAST):
                log.records.append(b"".join(pieces))
                pieces = None
    except _Damaged as damaged:
        log.damage = damaged.finding
    except _Torn as torn:
        log.torn_at = torn.at if pieces is None else begun_at
    else:
        log.torn_at = None if pieces is None else begun_at
    return log


class _Torn(Exception):
    def __init__(self, at: int) -> None:
        self.at = at


class _Damaged(Exception):
    def __init__(self, finding: Finding) -> None:
        self.finding = finding


def _pieces(name: str, data: bytes) -> Iterator[tuple[int, int, bytes]]:
    at, end = 0, len(data)
    while at < end:
        room = BLOCK - at % BLOCK
        if room < HEADER.size:  # too little for a header: filled up with zeros, which nobody reads
            at += room
            continue
        if end - at < HEADER.size:
            raise _Torn(at)
        stored, length, kind = HEADER.unpack_from(data, at)
        body = at + HEADER.size
        if not FULL <= kind <= LAST or length > room - HEADER.size:
            raise _Damaged(Finding(name, at, _no_record(data, at, kind, length)))
        checksum = unmasked(stored)
        if body + length > end:
            whole = first_end(bytes((kind,)), data[body:], checksum)
            if whole is not None and _may_follow(data, body + whole):
                raise _Damaged(
                    Finding(name, at, f"a record says that it has {length} bytes, but its checksum is that of {whole}")
                )
            raise _Torn(at)
        if crc32c(data[body - 1 : body + length]) != checksum:
            raise _Damaged(
                Finding(name, at, f"the checksum of a record is wrong; {end - at} bytes from there on cannot be read")
            )
        yield at, kind, data[body : body + length]
        at = body + length


def _no_record(data: bytes, at: int, kind: int, length: int) -> str:
    if not any(data[at:]):
        return f"zeros to the end of the file, {len(data) - at} bytes, where a record was expected"
    return f"no record: type {kind}, length {length}"


def _may_follow(data: bytes, at: int) -> bool:
    """Whether what stands here may stand behind a record: nothing, or the beginning of another."""
    room = BLOCK - at % BLOCK
    if at == len(data) or room < HEADER.size or len(data) - at < HEADER.size:
        return True
    length: int
    kind: int
    _, length, kind = HEADER.unpack_from(data, at)
    return FULL <= kind <= LAST and length <= room - HEADER.size


def good_records(data: bytes) -> Iterator[bytes]:
    """The records of a damaged log whose checksums are right, also those behind a fault, for whoever saves them."""
    at = 0
    pieces: list[bytes] | None = None
    while at + HEADER.size <= len(data):
        room = BLOCK - at % BLOCK
        if room < HEADER.size:
            at += room
            continue
        stored, length, kind = HEADER.unpack_from(data, at)
        body = at + HEADER.size
        if not FULL <= kind <= LAST or length > room - HEADER.size or body + length > len(data):
            at, pieces = at + room, None  # where the next record begins is known again at the next block
            continue
        at = body + length
        if crc32c(data[body - 1 : at]) != unmasked(stored):
            pieces = None
            continue
        if kind in (FULL, FIRST):
            pieces = []
        if pieces is not None:
            pieces.append(data[body:at])
            if kind in (FULL, LAST):
                yield b"".join(pieces)
                pieces = None
