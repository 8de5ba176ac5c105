"""BLAKE3 as the network uses it, and the ways in which the lengths of hashes are changed.

Protocol 03-encoding-and-types, sections 2 and 5.
"""

from __future__ import annotations

from collections.abc import Iterable

from blake3 import blake3

from protocol.codec.id_list import joined

HASH32_SIZE = 32
HASH20_SIZE = 20
"""Also of ids of ballots, blocks and proposals in messages."""


def hash32(*pieces: bytes) -> bytes:
    """BLAKE3 of the pieces one after another, 32 bytes."""
    return blake3(b"".join(pieces)).digest()


def hash20(*pieces: bytes) -> bytes:
    """The first 20 bytes of `hash32`."""
    return blake3(b"".join(pieces)).digest(HASH20_SIZE)


def right_aligned(data: bytes, size: int = HASH32_SIZE) -> bytes:
    """Bytes as a hash in the manner of big-endian numbers: zeros before short ones, the last bytes of long ones."""
    return data[-size:].rjust(size, b"\0")


def left_aligned(data: bytes, size: int) -> bytes:
    """Bytes as an id: zeros behind short ones, the first bytes of long ones."""
    return data[:size].ljust(size, b"\0")


def hash_of_list(ids: Iterable[bytes]) -> bytes:
    """The hash of ids in the given order: of an active set; ids of 20 bytes must have been padded to 32 before."""
    return blake3(joined(ids)).digest()
