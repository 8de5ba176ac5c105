"""CRC-32C, eight bytes a step through tables, compiled: what `crc32c` computes with where there is much to do.

`tables`: row k says what a byte becomes k bytes later; 8 x 256 of uint32.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.vectors import target

target.variant()


@njit(nogil=True)
def update(tables, crc, data):  # type: ignore[no-untyped-def]
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
            tables[7, low & np.uint32(0xFF)]
            ^ tables[6, low >> np.uint32(8) & np.uint32(0xFF)]
            ^ tables[5, low >> np.uint32(16) & np.uint32(0xFF)]
            ^ tables[4, low >> np.uint32(24)]
            ^ tables[3, data[at + 4]]
            ^ tables[2, data[at + 5]]
            ^ tables[1, data[at + 6]]
            ^ tables[0, data[at + 7]]
        )
        at += 8
    while at < len(data):
        crc = crc >> np.uint32(8) ^ tables[0, (crc ^ np.uint32(data[at])) & np.uint32(0xFF)]
        at += 1
    return crc


@njit(nogil=True)
def first_end(tables, crc, data, wanted):  # type: ignore[no-untyped-def]
    """After how many bytes the remainder is `wanted` for the first time; -1 where it never is."""
    if crc == wanted:
        return 0
    for at in range(len(data)):
        crc = crc >> np.uint32(8) ^ tables[0, (crc ^ np.uint32(data[at])) & np.uint32(0xFF)]
        if crc == wanted:
            return at + 1
    return -1
