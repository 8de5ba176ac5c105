"""The format of tables: blocks behind checksums, an index of them, a footer.

Every byte belongs to a block, to its checksum, or to the footer, and all are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from kernels.crc32c import crc32c

from .findings import Finding, number, unmasked

FOOTER_BYTES = 48
MAGIC = 0xDB4775248B80FB57
TRAILER_BYTES = 5
PLAIN, SNAPPY = 0, 1

Handle = tuple[int, int]
"""Offset and size of a block, without its trailer."""


def check_table(name: str, data: bytes) -> list[Finding]:
    """Everything that is wrong with a table."""
    try:
        metaindex, index = _footer(data)
    except ValueError as error:
        return [Finding(name, max(0, len(data) - FOOTER_BYTES), str(error))]
    found: list[Finding] = []
    seen: list[Handle] = []
    for what, handle in (("index", index), ("index of filters", metaindex)):
        seen.append(handle)
        problem = _block_problem(data, handle)
        if problem is not None:
            found.append(Finding(name, handle[0], f"the block with the {what}: {problem}"))
            continue
        try:
            blocks = [_handle(value, 0)[0] for _, value in _entries(_content(data, handle))]
        except (ValueError, IndexError) as error:
            found.append(Finding(name, handle[0], f"the block with the {what} cannot be read: {error}"))
            continue
        for block in blocks:
            seen.append(block)
            problem = _block_problem(data, block)
            if problem is not None:
                found.append(Finding(name, block[0], f"a block of rows: {problem}"))
    return found or _gaps(name, data, seen)


def _gaps(name: str, data: bytes, handles: list[Handle]) -> list[Finding]:
    """What no block covers."""
    at = 0
    for offset, size in sorted(handles):
        if offset != at:
            return [Finding(name, at, f"the next block begins at byte {offset}")]
        at = offset + size + TRAILER_BYTES
    if at != len(data) - FOOTER_BYTES:
        return [Finding(name, at, f"{len(data) - FOOTER_BYTES - at} bytes before the footer belong to no block")]
    return []


def _footer(data: bytes) -> tuple[Handle, Handle]:
    if len(data) < FOOTER_BYTES:
        raise ValueError(f"{len(data)} bytes are too few for a table")
    footer = data[-FOOTER_BYTES:]
    (magic,) = struct.unpack_from("<Q", footer, FOOTER_BYTES - 8)
    if magic != MAGIC:
        raise ValueError(f"the footer ends with {magic:016x}, expected {MAGIC:016x}")
    metaindex, at = _handle(footer, 0)
    index, at = _handle(footer, at)
    if any(footer[at : FOOTER_BYTES - 8]):
        raise ValueError("the padding of the footer is not zero")
    return metaindex, index


def _handle(data: bytes, at: int) -> tuple[Handle, int]:
    offset, at = number(data, at)
    size, at = number(data, at)
    return (offset, size), at


def _block_problem(data: bytes, handle: Handle) -> str | None:
    offset, size = handle
    end = offset + size
    if end + TRAILER_BYTES > len(data) - FOOTER_BYTES:
        return f"it would end at byte {end + TRAILER_BYTES}, behind the blocks"
    (stored,) = struct.unpack_from("<I", data, end + 1)
    return None if crc32c(data[offset : end + 1]) == unmasked(stored) else "its checksum is wrong"


def _content(data: bytes, handle: Handle) -> bytes:
    offset, size = handle
    kind = data[offset + size]
    block = data[offset : offset + size]
    if kind == PLAIN:
        return block
    if kind == SNAPPY:
        return snappy(block)
    raise ValueError(f"unknown compression {kind}")


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    (restarts,) = struct.unpack_from("<I", block, len(block) - 4)
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise ValueError("more restarts than fit into the block")
    key, at = b"", 0
    while at < end:
        shared, at = number(block, at)
        rest, at = number(block, at)
        size, at = number(block, at)
        if at + rest + size > end or shared > len(key):
            raise ValueError("an entry is cut short")
        key = key[:shared] + block[at : at + rest]
        yield key, block[at + rest : at + rest + size]
        at += rest + size


def snappy(data: bytes) -> bytes:
    """What was compressed. Raises ValueError, IndexError for what is not in this format."""
    size, at = number(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                extra = length - 59
                length = int.from_bytes(data[at : at + extra], "little")
                at += extra
            out += data[at : at + length + 1]
            at += length + 1
            continue
        if tag & 3 == 1:
            length, offset = (tag >> 2 & 7) + 4, tag >> 5 << 8 | data[at]
            at += 1
        else:
            width = 2 if tag & 3 == 2 else 4
            length, offset = (tag >> 2) + 1, int.from_bytes(data[at : at + width], "little")
            at += width
        if not 0 < offset <= len(out) or len(out) > size:
            raise ValueError("a copy from before the beginning")
        for _ in range(length):
            out.append(out[-offset])
    if len(out) != size:
        raise ValueError(f"{len(out)} bytes were compressed, expected {size}")
    return bytes(out)
