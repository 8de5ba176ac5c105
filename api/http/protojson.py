"""Protobuf messages as JSON, by their descriptors, with the rules of the network's gateways.

What is read: one JSON value (text after it is ignored), names in lowerCamelCase or snake_case, each at most once,
unknown ones skipped, null for absent; integers as number or text; bytes in either alphabet of base64, with or without
padding. What is written has every field and no blank. Specified in protocol 02-poet, section 9, and 10-api, section
1.6.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, NoReturn, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from api.http import bounded_json
from api.http.bounded_json import JsonLimits
from api.http.protojson_writing import encode, string
from protocol.numbers.time import ZERO_SECONDS, Time

__all__ = ["Malformed", "decode", "encode", "set_path", "string"]

WHITE_SPACE = b" \t\r\n"
MAX_TIME_S = 253_402_300_799
MAX_DURATION_S = 315_576_000_000
MAX_DEPTH = 100

M = TypeVar("M", bound=Message)
Reader = Callable[[str, Any], Any]
"""(name, JSON value) -> value of a field; raises Malformed."""


class Malformed(ValueError):
    """The text is not the message. It begins as the reference's answer does."""


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """A JSON object with every member that was given, in order."""

    __slots__ = ()


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed(f"invalid character {name[0]!r} looking for beginning of value")


_DECODER = json.JSONDecoder(
    object_pairs_hook=Pairs, parse_float=Number, parse_int=Number, parse_constant=_refuse_constant
)


def decode(body: bytes, kind: type[M], limits: JsonLimits = bounded_json.DEFAULT_LIMITS) -> M:
    """The message in a text; an empty text is an empty message. Raises Malformed."""
    message = kind()
    text = body.lstrip(WHITE_SPACE)
    if not text:
        return message
    try:
        bounded_json.check(text, limits)
        value, _ = _DECODER.raw_decode(text.decode())
    except UnicodeDecodeError:
        raise Malformed("proto: syntax error (line 1:1): invalid UTF-8 in string") from None
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc) or "Unterminated" in error.msg:
            raise Malformed("unexpected EOF") from None
        raise Malformed(f"invalid character {error.doc[error.pos]!r} looking for beginning of value") from None
    except (RecursionError, ValueError) as error:
        raise Malformed(str(error) if isinstance(error, Malformed) else f"proto: {error}") from None
    if not isinstance(value, Pairs):
        raise _unexpected(value)
    _fill(message, value)
    return message


def _unexpected(value: Any) -> Malformed:
    return Malformed(f"proto: syntax error (line 1:1): unexpected token {_token(value)}")


def _invalid(kind: str, name: str, value: Any) -> Malformed:
    return Malformed(f"proto: (line 1:1): invalid value for {kind} field {name}: {_token(value)}")


def _token(value: Any) -> str:
    """A JSON value as messages name it, shortened."""
    if isinstance(value, Number):
        return value[:100]
    if isinstance(value, Pairs):
        return "{"
    if isinstance(value, list):
        return "["
    return json.dumps(value[:100] if isinstance(value, str) else value)


# ---- reading


@dataclass(frozen=True, slots=True)
class _Field:
    """How one field is read."""

    name: str
    number: int
    repeated: bool
    oneof: str | None
    read: Reader | None
    """None: a message, which is filled in place."""


@cache
def _fields(descriptor: Descriptor) -> dict[str, _Field]:
    """The names that a message's fields go by, in both spellings. Raises TypeError for types without a JSON form
    here."""
    known: dict[str, _Field] = {}
    for one in descriptor.fields:
        if one.message_type is not None and one.message_type.GetOptions().map_entry:
            raise TypeError(f"{one.full_name} is a map, which has no JSON form here")
        oneof = one.containing_oneof.name if one.containing_oneof is not None else None
        read = None if one.message_type is not None and one.message_type.full_name not in _WELL_KNOWN else _reader(one)
        field = _Field(one.name, one.number, one.is_repeated, oneof, read)
        known[one.name] = known[one.camelcase_name] = known[one.json_name] = field
    return known


def _fill(message: Message, pairs: Pairs) -> None:
    known = _fields(message.DESCRIPTOR)
    seen: set[int | str] = set()
    for name, value in pairs:
        field = known.get(name)
        if field is None:
            continue
        if field.number in seen:
            raise Malformed(f'proto: (line 1:1): duplicate field "{name}"')
        seen.add(field.number)
        if value is None:
            continue
        if field.oneof is not None:
            if field.oneof in seen:
                raise Malformed(f'proto: (line 1:1): error parsing "{name}", oneof {field.oneof} is already set')
            seen.add(field.oneof)
        if field.repeated:
            if type(value) is not list:
                raise _unexpected(value)
            target = getattr(message, field.name)
            for one in value:
                if one is None:
                    raise _unexpected(one)
                _put_element(target, field, name, one)
        elif field.read is None:
            inner = getattr(message, field.name)
            inner.SetInParent()
            _fill(inner, _object(value))
        elif (found := field.read(name, value)) is not None:
            if isinstance(found, tuple):
                _set_time(getattr(message, field.name), found)
                continue
            try:
                setattr(message, field.name, found)
            except ValueError:  # half of a surrogate pair
                raise _invalid("string", name, value) from None


def _set_time(message: Any, found: tuple[int, int]) -> None:
    message.SetInParent()
    message.seconds, message.nanos = found


def _object(value: Any) -> Pairs:
    if not isinstance(value, Pairs):
        raise _unexpected(value)
    return value


def _put_element(target: Any, field: _Field, name: str, value: Any) -> None:
    if field.read is None:
        _fill(target.add(), _object(value))
        return
    found = field.read(name, value)
    if isinstance(found, tuple):
        _set_time(target.add(), found)
    elif found is not None:
        try:
            target.append(found)
        except ValueError:
            raise _invalid("string", name, value) from None


def _read_string(name: str, value: Any) -> str:
    if type(value) is not str:
        raise _invalid("string", name, value)
    return value


def _read_bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _invalid("bool", name, value)
    return value


def _read_bytes(name: str, value: Any) -> bytes:
    if type(value) is not str:
        raise _invalid("bytes", name, value)
    text = value
    if "-" in text or "_" in text:
        if "+" in text or "/" in text:
            raise _invalid("bytes", name, value)
        text = text.replace("-", "+").replace("_", "/")
    if "\n" in text or "\r" in text:
        text = text.replace("\n", "").replace("\r", "")
    missing = -len(text) % 4
    if missing:
        if "=" in text or missing == 3:
            raise _invalid("bytes", name, value)
        text += "=" * missing
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise _invalid("bytes", name, value) from None


_PLAIN_DIGITS = re.compile(r"0|[1-9][0-9]{0,19}")
_ANY_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,6})?")
LONGEST_NUMBER = 64
"""Characters; no number of 64 bits needs more."""


def _integer(kind: str, least: int, most: int) -> Reader:
    def read(name: str, value: Any) -> int:
        if isinstance(value, str):
            number = _whole(value)
            if number is not None and least <= number <= most:
                return number
        raise _invalid(kind, name, value)

    return read


def _whole(text: str) -> int | None:
    """The integer that a JSON number stands for; None for fractions, for what is no number, and beyond 20 digits."""
    if _PLAIN_DIGITS.fullmatch(text):
        return int(text)
    if len(text) > LONGEST_NUMBER or not _ANY_NUMBER.fullmatch(text):
        return None
    value = Decimal(text)
    if value.adjusted() > 20 or value != value.to_integral_value() or (text[0] == "-" and value == 0):
        return None
    return int(value)


def _read_float(name: str, value: Any) -> float:
    if isinstance(value, str) and len(value) <= LONGEST_NUMBER:
        if value in ("NaN", "Infinity", "-Infinity") and not isinstance(value, Number):
            return float(value)
        if _ANY_NUMBER.fullmatch(value) and math.isfinite(found := float(value)):
            return found
    raise _invalid("double", name, value)


def _enum(descriptor: EnumDescriptor) -> Reader:
    def read(name: str, value: Any) -> int | None:
        if type(value) is str:
            found = descriptor.values_by_name.get(value)
            return None if found is None else found.number  # one of a later version: as if it were absent
        number = _whole(value) if isinstance(value, Number) else None
        if number is None or not -(1 << 31) <= number < 1 << 31:
            raise _invalid("enum", name, value)
        return number

    return read


_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _read_timestamp(name: str, value: Any) -> tuple[int, int]:
    """Seconds and nanoseconds since 1970."""
    if type(value) is not str:
        raise _unexpected(value)
    if _TIMESTAMP.fullmatch(value) is None:
        raise Malformed(f"proto: (line 1:1): invalid google.protobuf.Timestamp value {_token(value)}")
    try:
        moment = Time.parse(value)
        in_range = ZERO_SECONDS <= moment.seconds <= MAX_TIME_S
    except (ValueError, OverflowError):
        if not value.startswith("0000"):
            raise Malformed(f"proto: (line 1:1): invalid google.protobuf.Timestamp value {_token(value)}") from None
        in_range = False
    if not in_range:
        raise Malformed(f"proto: (line 1:1): google.protobuf.Timestamp value out of range: {_token(value)}")
    return moment.seconds, moment.nanoseconds


_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)


def _read_duration(name: str, value: Any) -> tuple[int, int]:
    """Seconds and nanoseconds, of one sign."""
    if type(value) is not str:
        raise _unexpected(value)
    match = _DURATION.fullmatch(value)
    if match is None or int(match[2]) > MAX_DURATION_S:
        raise Malformed(f"proto: (line 1:1): invalid google.protobuf.Duration value {_token(value)}")
    sign = -1 if match[1] else 1
    return sign * int(match[2]), sign * int((match[3] or "").ljust(9, "0"))


def _reader(field: FieldDescriptor) -> Reader:
    if field.message_type is not None:
        return _WELL_KNOWN[field.message_type.full_name]
    if field.enum_type is not None:
        return _enum(field.enum_type)
    return _SCALARS[field.type]


_WELL_KNOWN: dict[str, Reader] = {
    "google.protobuf.Timestamp": _read_timestamp,
    "google.protobuf.Duration": _read_duration,
}
_INT32 = _integer("int32", -(1 << 31), (1 << 31) - 1)
_INT64 = _integer("int64", -(1 << 63), (1 << 63) - 1)
_UINT32 = _integer("uint32", 0, (1 << 32) - 1)
_UINT64 = _integer("uint64", 0, (1 << 64) - 1)
_SCALARS: dict[int, Reader] = {
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_SINT32: _INT32,
    FieldDescriptor.TYPE_SFIXED32: _INT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_SINT64: _INT64,
    FieldDescriptor.TYPE_SFIXED64: _INT64,
    FieldDescriptor.TYPE_UINT32: _UINT32,
    FieldDescriptor.TYPE_FIXED32: _UINT32,
    FieldDescriptor.TYPE_UINT64: _UINT64,
    FieldDescriptor.TYPE_FIXED64: _UINT64,
    FieldDescriptor.TYPE_DOUBLE: _read_float,
    FieldDescriptor.TYPE_FLOAT: _read_float,
    FieldDescriptor.TYPE_BOOL: _read_bool,
    FieldDescriptor.TYPE_STRING: _read_string,
    FieldDescriptor.TYPE_BYTES: _read_bytes,
}


# ---- paths and queries


def set_path(message: Message, path: str, values: Iterable[str]) -> None:
    """Sets the field that a dotted path names from texts, as a gateway does from a URL; unknown ones are skipped.

    Raises Malformed.
    """
    *outer, last = path.split(".")
    for name in outer[:MAX_DEPTH]:
        field = _fields(message.DESCRIPTOR).get(name)
        if field is None or field.repeated or field.read is not None:
            return
        message = getattr(message, field.name)
    field = _fields(message.DESCRIPTOR).get(last)
    if field is None or field.read is None:
        return
    given = list(values)
    if field.repeated:
        for value in given:
            _put_element(getattr(message, field.name), field, path, _from_text(message, field, value))
    else:
        if len(given) != 1:
            raise Malformed(f"too many values for field {path!r}")
        _fill(message, Pairs([(last, _from_text(message, field, given[0]))]))


def _from_text(message: Message, field: _Field, text: str) -> Any:
    """A text of a URL as the JSON value that it stands for."""
    kind = message.DESCRIPTOR.fields_by_name[field.name].type
    if kind == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    if kind == FieldDescriptor.TYPE_ENUM and _PLAIN_DIGITS.fullmatch(text):
        return Number(text)
    return text
