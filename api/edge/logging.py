"""The log of every program: where it goes, and how the words of strangers get into it.

What a peer said (a status, a name, the reason it closed a connection) is written by `shown`: escaped, on one line, not
longer than a line. What anybody can cause as often as he likes goes through `Quiet`, which says the same thing once a
minute and then how often it was kept back.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import ClassVar

PLAIN = "%(asctime)s %(levelname)s %(name)s %(message)s"
LONGEST_SHOWN = 200
"""Characters of a stranger's text."""
REPEAT_S = 60.0
"""The same line is written once in this time."""
KINDS_KEPT = 256
"""Lines that are remembered; the oldest is forgotten above this number."""


def shown(text: object, most: int = LONGEST_SHOWN) -> str:
    """The text of a peer as it may stand in a log or on a terminal: what is not printable escaped, cut after `most`."""
    words = text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else str(text)
    cut = len(words) > most
    plain = "".join(
        one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode() for one in words[:most]
    )
    return plain[:most] + (f"… ({len(words)} characters)" if cut or len(plain) > most else "")


class Quiet:
    """A logger for what strangers cause: each kind of line once a minute, with the number of those kept back.

    A kind is the format of the line and its first argument, so the same trouble with two peers is two kinds.
    """

    _all: ClassVar[dict[str, Quiet]] = {}

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._clock = logger, clock
        self._said: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        """Kind to when it was written last, and how often it was kept back since."""

    @classmethod
    def of(cls, logger: logging.Logger) -> Quiet:
        """The one of a logger."""
        if logger.name not in cls._all:
            cls._all[logger.name] = cls(logger)
        return cls._all[logger.name]

    def info(self, line: str, *arguments: object) -> None:
        """One line, perhaps."""
        self.log(logging.INFO, line, *arguments)

    def warning(self, line: str, *arguments: object) -> None:
        """One line, perhaps."""
        self.log(logging.WARNING, line, *arguments)

    def error(self, line: str, *arguments: object) -> None:
        """One line, perhaps."""
        self.log(logging.ERROR, line, *arguments)

    def log(self, level: int, line: str, *arguments: object) -> None:
        """One line, perhaps."""
        kind = (line, shown(arguments[0]) if arguments else "")
        now = self._clock()
        at, kept = self._said.get(kind, (float("-inf"), 0))
        if now - at < REPEAT_S:
            self._said[kind] = (at, kept + 1)
            return
        self._said[kind] = (now, 0)
        self._said.move_to_end(kind)
        if len(self._said) > KINDS_KEPT:
            self._said.popitem(last=False)
        again = f" ({kept} more like it in the last {now - at:.0f} s)" if kept else ""
        self._logger.log(level, line + again.replace("%", "%%"), *arguments)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """logging: the text of a record."""
        return json.dumps(
            {
                "T": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
                "L": record.levelname,
                "N": record.name,
                "M": record.getMessage(),
            }
        )


class LogFile(RotatingFileHandler):
    """The log in a file. What the disk does not take is left out: standard error has it too."""

    def handleError(self, record: logging.LogRecord) -> None:
        """logging: the record could not be written."""


def set_up(
    name: str,
    *,
    level: int = logging.INFO,
    as_json: bool = False,
    file: Path | None = None,
    file_bytes: int = 500 << 20,
    files: int = 3,
) -> logging.Logger:
    """The logger of one program, to standard error and perhaps to a file that is rotated. Raises OSError."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if file is not None:
        handlers.append(LogFile(file, maxBytes=file_bytes, backupCount=files))
    for handler in handlers:
        handler.setFormatter(JsonFormatter() if as_json else logging.Formatter(PLAIN))
    logger = logging.getLogger(name)
    logger.handlers = handlers
    logger.propagate = False
    logger.setLevel(level)
    return logger
