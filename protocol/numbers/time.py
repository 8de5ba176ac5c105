"""A moment with nanoseconds and the offset at which it was written down; its text is RFC 3339.

Protocol 02-poet, section 4.2; 03b-config-and-genesis, section 1.
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
    def parse(cls, text: str, *, lax: bool = False) -> Time:
        """From RFC 3339 with up to nine fractional digits. Raises ValueError.

        lax: as Go reads a time in a setting: a comma will do for the point, further digits are dropped, an offset may
        have 24 hours.
        """
        match = RFC_3339.fullmatch(text)
        if match is None:
            raise ValueError(text)
        *date_and_time, point, fraction, sign, hours, minutes = match.groups()
        offset = 0
        if sign:
            if int(hours) > (24 if lax else 23) or int(minutes) > 59:
                raise ValueError(text)
            offset = (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1)
        digits = fraction or ""
        if not lax and (point == "," or len(digits) > 9):
            raise ValueError(text)
        year, month, day, hour, minute, second = map(int, date_and_time)
        local = (datetime(year, month, day, hour, minute, second, tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
        return cls(local - offset * 60, int(digits[:9].ljust(9, "0")), offset)

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


RFC_3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:([.,])(\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZERO_SECONDS = -62_135_596_800
ZERO_TIME = Time(ZERO_SECONDS)
"""0001-01-01T00:00:00Z."""
