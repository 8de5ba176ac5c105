"""JSON that is neither believed too easily nor changed on the way: for the small files beside the data.

Reading refuses what the reference's readers refuse too (other encodings, a byte order mark, NaN, comments,
trailing characters) and keeps what Python's `json` loses: the text of numbers that are no plain integers, and
repeated keys. Writing has the form of Go's `json.MarshalIndent`. Used for protocol 01-post, section 3.1.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from dataclasses import dataclass
from typing import Never

MAX_DEPTH = 128
"""Arrays and objects inside each other. Far from what Python's stack holds, for reading and for writing."""

_MAX_INT_DIGITS = 100
_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)
_ESCAPED = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029\ud800-\udfff]')
_SHORT_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


class JsonError(Exception):
    """The text is not JSON; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number with the text it was written with: one with fraction or exponent, `-0`, or a very long one."""

    text: str


@dataclass(frozen=True, slots=True)
class Members:
    """An object in which a key is repeated: all its members in their order."""

    pairs: tuple[tuple[str, object], ...]


def parse(text: str | bytes) -> object:
    """The value of a JSON text: None, bool, int, Number, str, list, dict, or Members where a dict loses some.

    Raises JsonError; never anything else, whatever the text.
    """
    if text[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise JsonError("the text is UTF-16, expected UTF-8")
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        decoded.encode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise JsonError(f"the text is not UTF-8 ({error.reason} at position {error.start})") from None
    if decoded[:1] == "\ufeff":
        raise JsonError(
            "the text begins with a byte order mark, as some editors put it, which no program of the network reads: "
            "save it as UTF-8 without one"
        )
    if not decoded.strip(" \t\r\n"):
        raise JsonError("the file is empty, expected a JSON object")
    _check_depth(decoded)
    try:
        return json.loads(
            decoded,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=Number,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        cut = " (the file may be cut off)" if error.pos >= len(decoded.rstrip()) else ""
        what = error.msg[:1].lower() + error.msg[1:]
        raise JsonError(f"the text is not JSON: {what} at line {error.lineno}, column {error.colno}{cut}") from None
    except RecursionError:
        raise JsonError("arrays and objects are nested too deep") from None


def members(value: object) -> tuple[tuple[str, object], ...] | None:
    """The members of an object in their order, repeated keys included; None when the value is no object."""
    if isinstance(value, Members):
        return value.pairs
    if isinstance(value, dict):
        return tuple(value.items())
    return None


def dump(value: object, indent: str) -> str:
    """The JSON text of a value as Go's `json.MarshalIndent` writes it, without a newline at the end.

    Takes what `parse` returns, and tuples and finite floats. Raises TypeError or ValueError for anything
    else.
    """
    return _dump(value, indent, "\n")


def describe(value: object) -> str:
    """A value, shortened, for an error message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Number)):
        return shorten(value.text if isinstance(value, Number) else str(value))
    if isinstance(value, str):
        return f"the string {shorten(_quoted(value))}"
    if isinstance(value, list):
        return f"an array of {len(value)} values"
    return "an object"


def shorten(text: str) -> str:
    """At most 48 characters of a text."""
    return text if len(text) <= 48 else f"{text[:40]}… ({len(text)} characters)"


def _check_depth(text: str) -> None:
    depth = 0
    for token in _STRINGS_AND_BRACKETS.finditer(text):
        first = token.group()[0]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise JsonError(f"arrays and objects are nested too deep, expected at most {MAX_DEPTH} levels")
        elif first in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, object]]) -> object:
    unique = dict(pairs)
    return unique if len(unique) == len(pairs) else Members(tuple(pairs))


def _integer(text: str) -> int | Number:
    # Python refuses to convert very long integers, and -0 would come back as 0.
    return Number(text) if len(text) > _MAX_INT_DIGITS or text == "-0" else int(text)


def _refuse_constant(name: str) -> Never:
    raise JsonError(f"the text is not JSON: {name} is not a JSON value")


def _dump(value: object, indent: str, newline: str) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Number):
        return value.text
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no JSON form")
        return repr(value)
    inner = newline + indent
    if isinstance(value, (list, tuple)):
        items = [_dump(item, indent, inner) for item in value]
        return f"[{inner}{f',{inner}'.join(items)}{newline}]" if items else "[]"
    pairs = members(value)
    if pairs is None:
        raise TypeError(f"{type(value).__name__} has no JSON form")
    items = [f"{_quoted(key)}: {_dump(item, indent, inner)}" for key, item in pairs]
    return f"{{{inner}{f',{inner}'.join(items)}{newline}}}" if items else "{}"


def _quoted(text: str) -> str:
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return _SHORT_ESCAPES.get(character) or f"\\u{ord(character):04x}"
