"""Unsigned numbers as LEB128, as multiformats and protobuf write them. Protocol 09a, notation `uv`."""

from __future__ import annotations

from .errors import LIMIT, MALFORMED, TRUNCATED, WireError

LONGEST = 9
"""Bytes of a number of multiformats: 63 bits."""
LONGEST_PROTOBUF = 10
"""Bytes of a number of protobuf: 64 bits."""

Bytes = bytes | bytearray | memoryview


def encode(number: int) -> bytes:
    """The bytes of a number that is not negative."""
    if number < 0x80:
        return bytes((number,))
    pieces = bytearray()
    while number >= 0x80:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    pieces.append(number)
    return bytes(pieces)


def delimited(payload: bytes) -> bytes:
    """The payload behind its length."""
    return encode(len(payload)) + payload


def decode(data: Bytes, at: int = 0, longest: int = LONGEST, *, is_minimal: bool = True) -> tuple[int, int] | None:
    """The number at a place and the place behind it; None: the data ends within it.

    is_minimal: refuse more bytes than the number needs. Raises WireError (malformed, limit).
    """
    value = 0
    for place in range(at, min(at + longest, len(data))):
        one = data[place]
        value |= (one & 0x7F) << 7 * (place - at)
        if one < 0x80:
            if one == 0 and place > at and is_minimal:
                raise WireError("A number is written with more bytes than it needs.", MALFORMED)
            return value, place + 1
    if len(data) - at >= longest:
        raise WireError(f"A number has more than {longest} bytes.", LIMIT)
    return None


def take(data: Bytes, at: int = 0, longest: int = LONGEST, *, is_minimal: bool = True) -> tuple[int, int]:
    """As `decode`, of data that is whole. Raises WireError (malformed, limit, truncated)."""
    found = decode(data, at, longest, is_minimal=is_minimal)
    if found is None:
        raise WireError("The data ends within a number.", TRUNCATED)
    return found
