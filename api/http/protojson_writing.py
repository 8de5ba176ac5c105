"""Protobuf messages written as JSON: every field, no blank, in the order of the declaration. See `protojson`.

Absent messages are null, absent members of a oneof are left out, whole numbers of 64 bits are texts. Specified in
protocol 02-poet, section 9, and 10-api, section 1.6.
"""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from protocol.numbers.durations import SECOND
from protocol.numbers.time import Time


def encode(message: Message) -> bytes:
    """The message as JSON with every field: absent messages null, absent members of a oneof left out."""
    return _write(message).encode()


def _write(message: Message) -> str:
    special = _SPECIAL.get(message.DESCRIPTOR.full_name)
    if special is not None:
        return special(message)
    parts = []
    for prefix, field, write in _writers(message.DESCRIPTOR):
        if field.is_repeated and _is_map(field):
            entries = getattr(message, field.name)
            parts.append(
                f"{prefix}{{{','.join([f'{string(str(key))}:{write(entries[key])}' for key in sorted(entries)])}}}"
            )
        elif field.is_repeated:
            parts.append(f"{prefix}[{','.join([write(one) for one in getattr(message, field.name)])}]")
        elif field.has_presence and not message.HasField(field.name):
            if field.message_type is not None and field.containing_oneof is None:
                parts.append(f"{prefix}null")
        else:
            parts.append(prefix + write(getattr(message, field.name)))
    return "{" + ",".join(parts) + "}"


@cache
def _writers(descriptor: Descriptor) -> list[tuple[str, FieldDescriptor, Callable[[Any], str]]]:
    return [(f'"{field.json_name}":', field, _writer(field)) for field in descriptor.fields]


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _writer(field: FieldDescriptor) -> Callable[[Any], str]:
    if (message := field.message_type) is not None:
        return _writer(message.fields_by_name["value"]) if _is_map(field) else _write
    if (kinds := field.enum_type) is not None:
        return lambda value: json.dumps(found.name) if (found := kinds.values_by_number.get(value)) else str(value)
    return _TEXTS.get(field.type, str)


def string(text: str) -> str:
    """A JSON string as protobuf-JSON writes it: beyond ASCII as it is."""
    return json.dumps(text, ensure_ascii=False)


def _octets(value: bytes) -> str:
    return f'"{b64encode(value).decode()}"'


def _quoted(value: int) -> str:
    return f'"{value}"'


def _float(value: float) -> str:
    if not math.isfinite(value):
        return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def timestamp(seconds: int, nanos: int) -> str:
    """A moment since 1970 as RFC 3339 in UTC: 0, 3, 6 or 9 digits after the point."""
    return f"{str(Time(seconds)).removesuffix('Z')}{_fraction(nanos)}Z"


def _fraction(nanos: int) -> str:
    digits = f".{nanos:09d}"
    for _ in range(2):
        digits = digits.removesuffix("000")
    return digits.removesuffix(".000")


def _write_timestamp(message: Any) -> str:
    return f'"{timestamp(message.seconds, message.nanos)}"'


def _write_duration(message: Any) -> str:
    nanoseconds = message.seconds * SECOND + message.nanos
    seconds, nanos = divmod(abs(nanoseconds), SECOND)
    return f'"{"-" if nanoseconds < 0 else ""}{seconds}{_fraction(nanos)}s"'


_SPECIAL: dict[str, Callable[[Any], str]] = {
    "google.protobuf.Timestamp": _write_timestamp,
    "google.protobuf.Duration": _write_duration,
}
_TEXTS: dict[int, Callable[[Any], str]] = {
    FieldDescriptor.TYPE_INT64: _quoted,
    FieldDescriptor.TYPE_SINT64: _quoted,
    FieldDescriptor.TYPE_SFIXED64: _quoted,
    FieldDescriptor.TYPE_UINT64: _quoted,
    FieldDescriptor.TYPE_FIXED64: _quoted,
    FieldDescriptor.TYPE_BOOL: lambda value: "true" if value else "false",
    FieldDescriptor.TYPE_STRING: string,
    FieldDescriptor.TYPE_BYTES: _octets,
    FieldDescriptor.TYPE_DOUBLE: _float,
    FieldDescriptor.TYPE_FLOAT: _float,
}
