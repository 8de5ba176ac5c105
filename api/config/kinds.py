"""Kinds of values: how each is read from a file, from a flag or variable, and written back.

The programs of the network read loosely: they wrap, cut and round without a word. Ours read the same files but refuse
what would lose something. Lengths are bounded before anything is converted. Protocol 03b-config-and-genesis, section 3.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from api.edge.text import MAX_DIGITS, from_hex, is_whole, shown, typed
from node.p2p.wire import multiaddr
from protocol.errors import ProtocolError
from protocol.numbers import durations
from protocol.numbers.time import Time
from protocol.params.genesis import read_time

from .errors import BadValue

MAX_TEXT = 1 << 16
"""Characters of a value that is converted; lists of addresses are the longest that there are."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of values."""

    expected: str
    """What a person should write."""
    from_text: Callable[[str], Any]
    """The value of a flag's or variable's text. Raises BadValue."""
    from_file: Callable[[Any], Any]
    """The value of what a file holds: JSON or TOML. Raises BadValue."""
    to_file: Callable[[Any], Any] = lambda value: value
    """What a file holds for a value."""
    appends: bool = False
    """Whether several flags of this kind add up."""
    over: Callable[[Any, Mapping[str, Any]], Any] | None = None
    """(value before, document): the value where a file changes only a part of it; None: a file replaces it whole."""
    switch: bool = False
    """Whether a flag of this kind needs no value."""


def of_text(expected: str, read: Callable[[str], Any], to_file: Callable[[Any], Any] = lambda value: value) -> Kind:
    """A kind that files hold as a text too."""

    def from_file(value: Any) -> Any:
        if not isinstance(value, str):
            raise BadValue
        return read(value)

    return Kind(expected, read, from_file, to_file)


# Texts


def text_in_file(value: Any) -> str:
    """A text; numbers are taken for one, as the network's programs do. Raises BadValue."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise BadValue


TEXT = Kind("a text", lambda text: text, text_in_file)


def _texts(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _texts_in_file(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(text_in_file(item) for item in value)
    return _texts(text_in_file(value))


TEXTS = Kind("a list of texts, or one text with commas", _texts, _texts_in_file, list, appends=True)


def _addresses(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if not multiaddr.is_text(text):
            raise BadValue(f"{shown(text)} is no such address")
    return texts


ADDRESSES = Kind(
    "addresses such as /ip4/0.0.0.0/tcp/7513, as a list or with commas",
    lambda text: _addresses(_texts(text)),
    lambda value: _addresses(_texts_in_file(value)),
    list,
    appends=True,
)


def one_of(*words: str) -> Kind:
    """One of some words, in any case."""

    def read(text: str) -> str:
        word = next((one for one in words if one.lower() == typed(text).lower()), None)
        if word is None:
            raise BadValue
        return word

    return of_text(f"{', '.join(words[:-1])} or {words[-1]}", read)


# Numbers

TRUE = ("1", "t", "T", "true", "TRUE", "True")
FALSE = ("0", "f", "F", "false", "FALSE", "False")


def _boolean(text: str) -> bool:
    if text in TRUE or text in FALSE:
        return text in TRUE
    raise BadValue


def _present(text: str) -> bool:
    return not text or _boolean(text)


def _boolean_in_file(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _boolean(value)
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    raise BadValue


BOOLEAN = Kind("true or false", _boolean, _boolean_in_file, switch=True)
SWITCH = Kind("true, false or nothing", _present, _boolean_in_file, switch=True)
"""A name without a value means that it is so."""


def _go_integer(text: str) -> int:
    """An integer in any of Go's bases, where a leading zero means eight. Raises BadValue."""
    if len(text) > 2 * MAX_DIGITS:
        raise BadValue
    sign, digits = ("-" if text[:1] == "-" else ""), text.lstrip("+-")
    if len(text) - len(digits) > 1:
        raise BadValue
    if re.fullmatch("0[0-7]+", digits):
        digits = "0o" + digits[1:]
    try:
        return int(sign + digits, 0)
    except ValueError:
        raise BadValue from None


def integer(least: int, most: int) -> Kind:
    """Whole numbers in a range."""

    def in_range(value: int) -> int:
        if not least <= value <= most:
            raise BadValue
        return value

    def from_file(value: Any) -> int:
        if isinstance(value, str):
            # a leading zero means eight to the network's programs and ten to everybody else
            if re.fullmatch("[+-]?0[0-9]+", value):
                raise BadValue(f"{shown(value)} has a leading zero")
            return in_range(_go_integer(value))
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValue
        return in_range(value)

    return Kind(
        f"a whole number from {least} to {most}",
        lambda text: in_range(_go_integer(text)),
        from_file,
        lambda value: value if abs(value) <= 1 << 53 else str(value),
    )


def unsigned(bits: int) -> Kind:
    """Whole numbers from 0 in so many bits."""
    return integer(0, (1 << bits) - 1)


def decimal_integer(least: int, most: int) -> Kind:
    """Whole numbers in plain decimal digits, leading zeros or not; files may hold them as texts."""

    def read(text: str) -> int:
        word = typed(text)
        if not is_whole(word.removeprefix("-")) or not least <= int(word) <= most:
            raise BadValue
        return int(word)

    def from_file(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise BadValue
        if isinstance(value, str):
            return read(value)
        if not least <= value <= most:
            raise BadValue
        return value

    return Kind(f"a whole number from {least} to {most}", read, from_file)


UINT16, UINT32, UINT64 = unsigned(16), unsigned(32), unsigned(64)
INT64 = integer(-(1 << 63), (1 << 63) - 1)

INTEGERS = Kind(
    "a list of whole numbers",
    lambda text: tuple(INT64.from_text(item) for item in text.split(",")),
    lambda value: tuple(INT64.from_file(item) for item in (value if isinstance(value, list) else [value])),
    list,
)


def decimal(text: str, kind: type[float] | type[Fraction]) -> Any:
    """A number with a fraction, bounded in length and size. Raises BadValue."""
    if len(text) > MAX_DIGITS or re.search(r"[eE][+-]?[0-9]{4}", text):  # 1e1000000000 is a gigabyte of digits
        raise BadValue
    try:
        return finite(kind(text))
    except (ValueError, ZeroDivisionError):
        raise BadValue from None


def finite(value: Any) -> Any:
    """The number, if it is one. Raises BadValue."""
    if isinstance(value, float) and not math.isfinite(value):
        raise BadValue("it is no finite number")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _float_in_file(value: Any) -> float:
    if isinstance(value, str):
        return float(decimal(value, float))
    if not _is_number(value) or abs(value) > 1 << 64:
        raise BadValue
    return float(finite(value))


FLOAT = Kind(
    "a number",
    lambda text: decimal(text, float),
    _float_in_file,
    lambda value: int(value) if value == int(value) else value,
)


def _rational_in_file(value: Any) -> Fraction:
    if isinstance(value, str):
        return Fraction(decimal(value, Fraction))
    if not _is_number(value):
        raise BadValue
    return Fraction(finite(value))


RATIONAL = Kind(
    'a fraction such as "1/3" or 0.25',
    lambda text: decimal(text, Fraction),
    _rational_in_file,
    lambda value: f"{value.numerator}/{value.denominator}",
)


def _duration(text: str) -> int:
    try:
        return durations.parse(text)
    except durations.DurationError as error:
        raise BadValue(str(error)) from None


DURATION = Kind(
    "a duration such as 90s, 5m or 1h30m (a bare number is nanoseconds)",
    _duration,
    lambda value: _duration(value) if isinstance(value, str) else INT64.from_file(value),
    durations.text,
)


PLAIN_DURATION = of_text("a duration such as 90s, 5m or 1h30m", _duration, durations.text)
"""A duration always with its unit."""


def _time(text: str) -> Time:
    try:
        return read_time(typed(text))
    except ProtocolError as error:
        raise BadValue(str(error)) from None


TIME = of_text("a time with its zone, such as 2023-07-14T08:00:00Z", _time, str)


def _moment(text: str) -> int:
    return _time(text).unix_ns


MOMENT = of_text(TIME.expected, _moment, lambda value: str(Time.of(value)))
"""Nanoseconds since 1970 of such a time."""


def _path(text: str) -> Path:
    if not text.strip() or "\0" in text:
        raise BadValue
    return Path(text)


PATH = of_text("the name of a file or directory", _path, str)

# Bytes


def hexadecimal(size: int) -> Kind:
    """So many bytes in hex digits."""

    def read(text: str) -> bytes:
        try:
            return from_hex(text, size)
        except ValueError as error:
            raise BadValue(str(error)) from None

    return of_text(f"{2 * size} hex digits", read, bytes.hex)


HASH32, HASH20 = hexadecimal(32), hexadecimal(20)


def base64_bytes(text: str) -> bytes:
    """Bytes of standard base64; line breaks and blanks around it are nothing. Raises BadValue."""
    plain = typed(text).replace("\n", "").replace("\r", "")
    if len(plain) > MAX_TEXT:
        raise BadValue
    try:
        return base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        at = next((i for i, c in enumerate(plain) if not (c.isascii() and (c.isalnum() or c in "+/="))), None)
        why = f"{plain[at]!r} at place {at + 1} is none of its characters" if at is not None else "its end is missing"
        raise BadValue(why) from None


KEY = Kind(
    "a key in base64",
    base64_bytes,
    lambda value: base64_bytes(text_in_file(value)),
    lambda value: base64.b64encode(value).decode(),
)
