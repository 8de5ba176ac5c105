"""CRC-32C (Castagnoli), eight bytes a step through tables: what LevelDB writes beside its records and blocks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from kernels.vectors import target

target.variant()

POLYNOMIAL = 0x82F63B78
"""Reflected."""


def _tables() -> npt.NDArray[np.uint32]:
    """Row k: what a byte becomes k bytes later."""
    tables = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        tables[0, byte] = value
    for row in range(1, 8):
        tables[row] = tables[row - 1] >> 8 ^ tables[0, tables[row - 1] & 0xFF]
    return tables


_TABLES = _tables()


@njit(nogil=True)
def _update(crc, data):  # type: ignore[no-untyped-def]
    """The inverted remainder after more bytes; begins with all ones."""
    at = 0
    while at + 8 <= len(data):
        low = crc ^ (
            np.uint32(data[at])
            | np.uint32(data[at + 1]) << np.uint32(8)
            | np.uint32(data[at + 2]) << np.uint32(16)
            | np.uint32(data[at + 3]) << np.uint32(24)
        )
        crc = (
            _TABLES[7, low & np.uint32(0xFF)]
            ^ _TABLES[6, low >> np.uint32(8) & np.uint32(0xFF)]
            ^ _TABLES[5, low >> np.uint32(16) & np.uint32(0xFF)]
            ^ _TABLES[4, low >> np.uint32(24)]
            ^ _TABLES[3, data[at + 4]]
            ^ _TABLES[2, data[at + 5]]
            ^ _TABLES[1, data[at + 6]]
            ^ _TABLES[0, data[at + 7]]
        )
        at += 8
    while at < len(data):
        crc = crc >> np.uint32(8) ^ _TABLES[0, (crc ^ np.uint32(data[at])) & np.uint32(0xFF)]
        at += 1
    return crc


@njit(nogil=True)
def _first_end(crc, data, wanted):  # type: ignore[no-untyped-def]
    """After how many bytes the remainder is `wanted` for the first time; -1 where it never is."""
    if crc == wanted:
        return 0
    for at in range(len(data)):
        crc = crc >> np.uint32(8) ^ _TABLES[0, (crc ^ np.uint32(data[at])) & np.uint32(0xFF)]
        if crc == wanted:
            return at + 1
    return -1


_ONES = np.uint32(0xFFFFFFFF)


def crc32c(*pieces: bytes | memoryview) -> int:
    """The checksum of the pieces one after another."""
    crc = _ONES
    for piece in pieces:
        crc = np.uint32(_update(crc, np.frombuffer(piece, np.uint8)))
    return int(crc ^ _ONES)


def first_end(start: bytes, data: bytes | memoryview, checksum: int) -> int | None:
    """The smallest number of bytes of `data` that has this checksum behind `start`; None where no number has it."""
    crc = np.uint32(_update(_ONES, np.frombuffer(start, np.uint8)))
    found = int(_first_end(crc, np.frombuffer(data, np.uint8), np.uint32(checksum) ^ _ONES))
    return None if found < 0 else found
