"""A moment with nanoseconds and the offset at which it was written down; its text is RFC 3339.

Protocol 02-poet, section 4.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


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
