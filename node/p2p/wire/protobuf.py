"""Protobuf without schemas: fields one after another, as libp2p's small messages need them.

The library for protobuf takes a field of another wire type for one that it does not know; peers of the network refuse
it, and score who sent it. So the fields are read here, each kind by its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from . import varint
from .errors import LIMIT, MALFORMED, TRUNCATED, WireError

Value = int | bytes
Kinds = Mapping[int, type[int] | type[bytes]]
"""Numbers of the fields of a message, with what they hold."""

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
GROUPS = (3, 4)
"""Wire types of fields that hold fields, which nobody uses."""
LARGEST_FIELD = (1 << 29) - 1
MASK64 = (1 << 64) - 1


def encode(*fields: tuple[int, Value | None]) -> bytes:
    """A message of these fields, in this order; None: the field is left out."""
    pieces = []
    for number, value in fields:
        if value is None:
            continue
        if isinstance(value, int):
            pieces += [varint.encode(number << 3 | VARINT), varint.encode(value & MASK64)]
        else:
            pieces += [varint.encode(number << 3 | DELIMITED), varint.encode(len(value)), value]
    return b"".join(pieces)


def decode(data: bytes, kinds: Kinds) -> Iterator[tuple[int, Value]]:
    """The fields that are named, in the order of the data; others are passed over.

    Raises WireError (truncated, malformed, limit), also for what is passed over.
    """
    at, end = 0, len(data)
    while at < end:
        tag, at = varint.take(data, at, varint.LONGEST_PROTOBUF, is_minimal=False)
        number, wire_type = tag >> 3, tag & 7
        if not 0 < number <= LARGEST_FIELD:
            raise WireError(f"A field has the number {number}, expected 1 to {LARGEST_FIELD}.", LIMIT)
        kind = kinds.get(number)
        if wire_type == DELIMITED:
            size, at = varint.take(data, at, varint.LONGEST_PROTOBUF, is_minimal=False)
            stop = at + size
            if stop > end:
                raise WireError(f"Field {number} has {size} bytes, but only {end - at} follow.", TRUNCATED)
            if kind is bytes:
                yield number, data[at:stop]
            at = stop
        elif wire_type == VARINT:
            value, at = varint.take(data, at, varint.LONGEST_PROTOBUF, is_minimal=False)
            if kind is int:
                yield number, value & MASK64
        elif wire_type in FIXED_SIZES and kind is None:
            at += FIXED_SIZES[wire_type]
            if at > end:
                raise WireError(f"The data ends within field {number}.", TRUNCATED)
        else:
            raise WireError(f"Field {number} has the wire type {wire_type}, expected another.", MALFORMED)
        if kind is not None and kind is not (bytes if wire_type == DELIMITED else int):
            raise WireError(f"Field {number} has the wire type {wire_type}, expected another.", MALFORMED)


def last(data: bytes, kinds: Kinds) -> dict[int, Value]:
    """Of each field that is named the last value. Raises as `decode`."""
    return dict(decode(data, kinds))
