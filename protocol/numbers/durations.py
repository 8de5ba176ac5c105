"""Durations in the text form of the network's configuration files: `1h30m`, `250ms`, `1.5h`.

A duration is an integer of nanoseconds in 64 signed bits. Protocol 03b-config-and-genesis, section 3 (text
conversions); the grammar is that of Go's time package.
"""

from __future__ import annotations

import re

from protocol.errors import ProtocolError

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

_UNITS = {
    "ns": 1,
    "us": MICROSECOND,
    "µs": MICROSECOND,
    "μs": MICROSECOND,
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
MAX_DURATION = (1 << 63) - 1
"""The longest duration, about 292 years."""


MAX_TEXT = 256
"""Characters of the text of a duration; numbers without end are not converted."""


class DurationError(ProtocolError):
    """A text that is no duration. reason: empty, number, no_unit, unknown_unit, range."""

    unit: str = ""
    """What stands where a unit should, where that is the reason."""


def parse(text: str) -> int:
    """Nanoseconds of a text such as `1h2m3.5s`; a sign may stand before it. Raises DurationError."""

    def refuse(why: str, reason: str) -> DurationError:
        return DurationError(
            f"{text[:60]!r} is no duration: {why} Expected a number with a unit, such as 90s, 5m or 1h30m.", reason
        )

    if len(text) > MAX_TEXT:
        raise refuse("it is too long.", "range")
    rest, sign = text, 1
    if rest[:1] in ("+", "-"):
        sign, rest = (-1 if rest[0] == "-" else 1), rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise refuse("it is empty.", "empty")
    total = 0
    while rest:
        match = _PART.match(rest)
        assert match is not None, "the pattern matches an empty text too"
        whole, fraction, unit = match[1], match[2] or "", match[3]
        if not whole and not fraction:
            raise refuse("a number is missing.", "number")
        if not unit:
            raise refuse("the unit is missing.", "no_unit")
        if unit not in _UNITS:
            error = refuse(f"the unit {unit[:10]!r} is unknown.", "unknown_unit")
            error.unit = unit
            raise error
        total += int(whole or 0) * _UNITS[unit] + int(fraction or 0) * _UNITS[unit] // 10 ** len(fraction)
        rest = rest[match.end() :]
    if total > MAX_DURATION + (sign < 0):
        raise refuse("it is longer than 292 years.", "range")
    return sign * total


def text(nanoseconds: int) -> str:
    """The canonical text: `1h30m0s`, `1.5ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign, left = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    if left < SECOND:
        for unit, size in (("ms", MILLISECOND), ("µs", MICROSECOND), ("ns", 1)):
            if left >= size:
                return f"{sign}{_decimal(left, size)}{unit}"
    hours, rest = divmod(left, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    seconds = _decimal(rest, SECOND) + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".") if rest else str(whole)
