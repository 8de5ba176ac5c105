"""The part of XDR that a PoET server writes its files and database rows with.

Integers are big-endian and at least 32 bits wide, byte strings and lists carry a 32-bit length, byte strings are
padded to four bytes, a pointer is a boolean and then the value. Not to be mixed up with SCALE, which the network
speaks. Specified in protocol 02-poet, section 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from protocol.errors import ProtocolError

T = TypeVar("T")

MAX_LENGTH = 0x7FFFFFFF
"""Bytes of a string or items of a list; a reader refuses more before it looks for them."""


class XdrError(ProtocolError):
    """The bytes end too early or hold a value that the format does not allow."""


class Writer:
    """Collects the encoding of one record, field by field."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def u32(self, value: int) -> None:
        """An unsigned integer of up to 32 bits. Raises OverflowError above."""
        self._parts.append(value.to_bytes(4, "big"))

    def u64(self, value: int) -> None:
        """An unsigned integer of 64 bits. Raises OverflowError above."""
        self._parts.append(value.to_bytes(8, "big"))

    def bool(self, value: bool) -> None:
        """0 or 1 in 32 bits."""
        self.u32(1 if value else 0)

    def opaque(self, value: bytes) -> None:
        """A byte string: length, data, zeros up to a multiple of four."""
        self.u32(len(value))
        self._parts.append(value + bytes(-len(value) % 4))

    def string(self, value: str) -> None:
        """A text in UTF-8."""
        self.opaque(value.encode())

    def opaques(self, values: Iterable[bytes]) -> None:
        """A list of byte strings."""
        items = list(values)
        self.u32(len(items))
        for item in items:
            self.opaque(item)

    def time(self, value: Time) -> None:
        """A moment, as text."""
        self.string(str(value))

    def bytes(self) -> bytes:
        """Everything written so far."""
        return b"".join(self._parts)


class Reader:
    """Reads a record from the start of `data`; what follows it is left alone, as the reference does."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what
        self._at = 0

    def _take(self, count: int, field: str) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise XdrError(
                f"{self._what}: {field} needs {count} bytes at offset {self._at}, but the data ends at "
                f"{len(self._data)}; it was cut off or is not such a record"
            )
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def u32(self, field: str) -> int:
        """An unsigned integer of 32 bits. Raises XdrError."""
        return int.from_bytes(self._take(4, field), "big")

    def u64(self, field: str) -> int:
        """An unsigned integer of 64 bits. Raises XdrError."""
        return int.from_bytes(self._take(8, field), "big")

    def bool(self, field: str) -> bool:
        """0 or 1. Raises XdrError for anything else."""
        value = self.u32(field)
        if value > 1:
            raise XdrError(f"{self._what}: {field} is {value}, expected 0 or 1")
        return value == 1

    def opaque(self, field: str) -> bytes:
        """A byte string. Raises XdrError."""
        length = self._length(field)
        value = self._take(length, field)
        self._take(-length % 4, field)
        return value

    def string(self, field: str) -> str:
        """A text. Raises XdrError, also where it is not UTF-8."""
        value = self.opaque(field)
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise XdrError(f"{self._what}: {field} is not a text in UTF-8: {error}") from None

    def opaques(self, field: str) -> list[bytes]:
        """A list of byte strings. Raises XdrError."""
        return [self.opaque(f"{field}[{index}]") for index in range(self._length(field))]

    def optional(self, field: str, read: Callable[[], T]) -> T | None:
        """A pointer: None, or what `read` reads."""
        return read() if self.bool(field) else None

    def time(self, field: str) -> Time:
        """A moment. Raises XdrError where the text is not RFC 3339."""
        text = self.string(field)
        try:
            return Time.parse(text)
        except ValueError:
            raise XdrError(f"{self._what}: {field} is {text!r}, expected a time in the form of RFC 3339") from None

    def _length(self, field: str) -> int:
        value = self.u32(field)
        if value > MAX_LENGTH:
            raise XdrError(f"{self._what}: the length of {field} is {value}, more than {MAX_LENGTH}")
        return value


@dataclass(frozen=True, slots=True)
class Time:
    """A moment with nanoseconds and the offset that its writer had; year 1 is how the reference says "never"."""

    seconds: int
    """Since the start of 1970, UTC."""
    nanoseconds: int = 0
    offset_minutes: int = 0

    @classmethod
    def of(cls, unix_ns: int) -> Time:
        """The moment in UTC."""
        return cls(unix_ns // 1_000_000_000, unix_ns % 1_000_000_000)

    @classmethod
    def parse(cls, text: str) -> Time:
        """From RFC 3339 with up to nine fractional digits. Raises ValueError."""
        match = RFC_3339.fullmatch(text)
        if match is None:
            raise ValueError(text)
        whole, fraction, sign, hours, minutes = match.groups()
        offset = (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1) if sign else 0
        if abs(offset) >= MINUTES_OF_A_DAY:
            raise ValueError(text)
        local = round((datetime.fromisoformat(whole).replace(tzinfo=UTC) - EPOCH) / timedelta(seconds=1))
        return cls(local - offset * 60, int((fraction or "").ljust(9, "0")), offset)

    @property
    def unix_ns(self) -> int:
        """Nanoseconds since the start of 1970."""
        return self.seconds * 1_000_000_000 + self.nanoseconds

    @property
    def is_zero(self) -> bool:
        """Whether this is the reference's zero time."""
        return self.seconds == ZERO_SECONDS and self.nanoseconds == 0

    def __str__(self) -> str:
        local = EPOCH + timedelta(seconds=self.seconds + self.offset_minutes * 60)
        text = local.replace(tzinfo=None).isoformat()
        if self.nanoseconds:
            text += f".{self.nanoseconds:09d}".rstrip("0")
        if self.offset_minutes == 0:
            return text + "Z"
        hours, minutes = divmod(abs(self.offset_minutes), 60)
        return f"{text}{'-' if self.offset_minutes < 0 else '+'}{hours:02d}:{minutes:02d}"


RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
MINUTES_OF_A_DAY = 1440
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZERO_SECONDS = -62_135_596_800
ZERO_TIME = Time(ZERO_SECONDS)
"""0001-01-01T00:00:00Z."""
