"""The last lines of the log, kept for those who ask."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

KEPT = 1000
"""Lines."""
LONGEST = 4096
"""Characters of a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """What was said."""

    at_ns: int
    """Since 1970."""
    level: int
    logger: str
    message: str


class LogTail(logging.Handler):
    """A handler of the log that keeps the newest lines. Safe from any thread."""

    def __init__(self, kept: int = KEPT) -> None:
        super().__init__()
        self._lines: deque[Line] = deque(maxlen=kept)

    def emit(self, record: logging.LogRecord) -> None:
        """logging: keep a line."""
        try:
            message = record.getMessage().encode("utf-8", "replace").decode()
        except (TypeError, ValueError):  # its arguments do not fit its words, which must not end who wrote it
            self.handleError(record)
            return
        at_ns = int(record.created * 1e9)
        self._lines.append(Line(at_ns, record.levelno, record.name, message[:LONGEST]))

    def tail(self, limit: int = 0, level: int = 0, contains: str = "") -> Sequence[Line]:
        """The newest lines that are asked for, oldest first; limit 0: all that are kept."""
        wanted = contains.casefold()
        self.acquire()
        try:
            lines = list(self._lines)
        finally:
            self.release()
        found = (line for line in reversed(lines) if line.level >= level and wanted in line.message.casefold())
        return list(islice(found, limit or None))[::-1]
