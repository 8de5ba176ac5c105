"""The log of every program: where it goes, and how the words of strangers get into it.

What a peer said (a status, a name, the reason it closed a connection) is written by `text.escaped`: on one line,
not longer than a line. What anybody can cause as often as he likes goes through `Quiet`, which says the same thing
once a minute and then how often it was kept back. A program's log begins with what runs there and with which settings,
and ends with how it came to that.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import ClassVar

from .errors import exit_code, sentence
from .repeats import Repeats
from .text import escaped
from .version import program_version

PLAIN = "%(asctime)s %(levelname)s %(name)s %(message)s"


class Quiet:
    """A logger for what strangers cause: each kind of line once a minute, with the number of those kept back.

    A kind is the format of the line and its first argument, so the same trouble with two peers is two kinds.
    """

    _all: ClassVar[dict[str, Quiet]] = {}

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._clock = logger, clock
        self._said = Repeats()

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
        turn = self._said.turn((line, escaped(arguments[0]) if arguments else ""), self._clock())
        if turn is None:
            return
        again = f" ({turn.kept_back} more like it in the last {turn.seconds:.0f} s)" if turn.kept_back else ""
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


def begun(log: logging.Logger, program: str, settings: Mapping[str, object]) -> None:
    """Says what runs here. Secrets are the caller's to leave out."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    log.info(
        "smesher %s %s, process %d, %s on %s %s",
        program,
        program_version(),
        os.getpid(),
        python,
        platform.system(),
        platform.machine(),
    )
    told = ", ".join(f"{name} = {escaped(value)}" for name, value in settings.items())
    log.info("settings beside the defaults: %s", told or "none")


@contextmanager
def end(log: logging.Logger, program: str) -> Iterator[None]:
    """Says how it ended: when it was told to, or by which error."""
    try:
        yield
    except BaseException as error:
        code = exit_code(error)
        if code is None and not isinstance(error, (KeyboardInterrupt, SystemExit)):
            log.error("smesher %s ends: %s: %s", program, type(error).__name__, error)
        else:
            log.error("smesher %s ends: %s", program, "interrupted" if code is None else sentence(error))
        raise
    log.info("smesher %s has ended", program)
