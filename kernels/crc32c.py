"""CRC-32C (Castagnoli): what LevelDB writes beside its records and blocks.

The first MiB of a process is computed in plain Python, so that a server with small stores needs no compiler in its
memory; after that `crc32c_compiled` does it, a hundred times faster.
"""

from __future__ import annotations

from functools import cache
from typing import Any

POLYNOMIAL = 0x82F63B78
"""Reflected."""
BY_HAND = 1 << 20
"""Bytes of a process that are computed without a compiler."""
ONES = 0xFFFF_FFFF


def _row() -> tuple[int, ...]:
    """What each byte becomes."""
    values = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        values.append(value)
    return tuple(values)


_ROW = _row()
_by_hand = [BY_HAND]
"""What is left of it."""


@cache
def _fast() -> tuple[Any, Any, Any]:
    """numpy, the compiled functions, and their table: row k says what a byte becomes k bytes later."""
    import numpy as np

    from kernels import crc32c_compiled

    rows = [np.array(_ROW, np.uint32)]
    for _ in range(7):
        rows.append(rows[-1] >> 8 ^ rows[0][rows[-1] & 0xFF])
    return np, crc32c_compiled, np.stack(rows)


def _many(size: int) -> bool:
    """Whether these bytes are too many to be done by hand; counts those that are not."""
    if size > _by_hand[0]:
        _by_hand[0] = 0  # once the compiler is there, it is used
        return True
    _by_hand[0] -= size
    return False


def _update(crc: int, data: bytes | memoryview) -> int:
    """The inverted remainder after more bytes; begins with all ones."""
    if _many(len(data)):
        np, compiled, tables = _fast()
        return int(compiled.update(tables, np.uint32(crc), np.frombuffer(data, np.uint8)))
    for byte in bytes(data):
        crc = crc >> 8 ^ _ROW[(crc ^ byte) & 0xFF]
    return crc


def crc32c(*pieces: bytes | memoryview) -> int:
    """The checksum of the pieces one after another."""
    crc = ONES
    for piece in pieces:
        crc = _update(crc, piece)
    return crc ^ ONES


def first_end(start: bytes, data: bytes | memoryview, checksum: int) -> int | None:
    """The smallest number of bytes of `data` that has this checksum behind `start`; None where no number has it."""
    crc, wanted = _update(ONES, start), checksum ^ ONES
    if _many(len(data)):
        np, compiled, tables = _fast()
        found = int(compiled.first_end(tables, np.uint32(crc), np.frombuffer(data, np.uint8), np.uint32(wanted)))
        return None if found < 0 else found
    if crc == wanted:
        return 0
    for count, byte in enumerate(bytes(data), 1):
        crc = crc >> 8 ^ _ROW[(crc ^ byte) & 0xFF]
        if crc == wanted:
            return count
    return None
