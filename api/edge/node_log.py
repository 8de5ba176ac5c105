"""The log of a node: lines for people or for machines, a level for each module, and whoever listens.

Lines are those of the original node, so that what reads its log reads ours: `time TAB level TAB logger TAB message TAB
fields` for people, objects with the keys L, T, N, M and the fields for machines; times are UTC. They are written by a
thread of their own: whoever logs waits for no disk and no reader of a pipe. What these do not take in time is left out,
and how much that was is said.

A warning says what is so, what it means, and what to do. Specified in protocol 09b-node-storage-libp2p, section 6.3.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from .errors import EnvironmentFault, UsageError
from .logging import LogFile
from .text import nearest, shown

ROOT = "node"
"""The logger of a node; those of its modules are below it."""
EVERYTHING = "*"
"""In place of a module: all of them."""

CONSOLE, JSON = "console", "json"
ENCODERS = (CONSOLE, JSON)

LEVELS: Mapping[str, int] = MappingProxyType(
    {
        "debug": logging.DEBUG,
        "info": logging.INFO,
        "warn": logging.WARNING,
        "error": logging.ERROR,
        "dpanic": logging.CRITICAL,
        "panic": logging.CRITICAL,
        "fatal": logging.CRITICAL,
    }
)
"""The names that configurations and clients use."""
_NAMES = ((logging.CRITICAL, "FATAL"), (logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO"))

APP = "app"
"""The module of everything that has none of its own: what the node says as a whole, and other libraries."""
ALSO: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        APP: ("",),
        "bootstrap": ("bootstrap",),
        "grpc": ("grpc", "aiohttp"),
        "nipostBuilder": ("poets",),
        "poetDb": ("poet",),
        "post": ("post",),
        "postService": ("postService", "post-service"),
    }
)
"""Loggers of others that follow a module."""

TAIL_LINES = 1000
LONGEST = 2000
"""Characters of a message, or of its fields, that are remembered."""
WAITING_LINES = 10_000
"""Lines that may wait to be written."""
CLOSE_S = 5.0
"""How long the last lines are waited for when a program ends."""

_FIELDS = "node_fields"


def fields(**values: object) -> dict[str, object]:
    """For `extra=` of a logger's call: values beside the message, by their names."""
    return {_FIELDS: values}


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was logged, as it is remembered."""

    at_ns: int
    """Since 1970."""
    level: int
    """As of Python's `logging`."""
    logger: str
    message: str
    fields: str
    """A JSON object, or nothing."""
    trace: str
    """Of the error that was logged with it, or nothing."""


class UnknownLevel(ValueError):
    """A text that names no level."""


class UnknownPart(ValueError):
    """A text that names no module."""


def level_number(text: str) -> int:
    """The level of a name, in any case; an empty one is info, as in the original. Raises UnknownLevel."""
    found = LEVELS.get(text.lower() or "info")
    if found is None:
        raise UnknownLevel(f"level {shown(text)} is unknown, expected one of {', '.join(LEVELS)}")
    return found


def change_level(module: str, level: str, modules: Collection[str]) -> None:
    """What is logged of a module, or of all (`*`), from now on, in the whole process.

    Raises UnknownLevel, UnknownPart, with nothing changed.
    """
    number = level_number(level)
    if module not in modules and module != EVERYTHING:
        raise UnknownPart(f"module {shown(module)} is unknown.{nearest(module, modules)}")
    for one in modules if module == EVERYTHING else (module,):
        for name in loggers_of(one):
            logging.getLogger(name).setLevel(number)


def loggers_of(module: str) -> tuple[str, ...]:
    """Names of the loggers that speak for a module."""
    return (ROOT if module == APP else f"{ROOT}.{module}", *ALSO.get(module, ()))


def level_name(level: int) -> str:
    """How a line calls a level."""
    return next((name for least, name in _NAMES if level >= least), "DEBUG")


class NodeLog(logging.Handler):
    """The log of the nodes of one process, from `open` to `close`; a context that closes it."""

    def __init__(self, levels: Mapping[str, str], output: logging.Handler) -> None:
        """levels: module to the name of its level. Raises UsageError that names a wrong one."""
        super().__init__()
        self._levels = {APP: "info", **levels}
        for module, level in self._levels.items():
            try:
                level_number(level)
            except ValueError as error:
                raise UsageError(f"logging.{module}: {error}.") from None
        self._output = output
        self._waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(WAITING_LINES)
        self._left_out = 0
        self._tail: deque[Line] = deque(maxlen=TAIL_LINES)
        self._heard_by: list[Callable[[Line], None]] = []
        self._inside = threading.local()
        self._before: dict[str, tuple[int, list[logging.Handler]]] = {}
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)

    def open(self) -> NodeLog:
        """Everything that is logged in this process comes here from now on."""
        root = logging.getLogger()
        self._before[""] = (root.level, root.handlers[:])
        root.handlers = [self]
        for module, level in self._levels.items():
            for name in loggers_of(module):
                self._before.setdefault(name, (logging.getLogger(name).level, []))
            self.set_level(module, level)
        self._thread.start()
        return self

    def close(self) -> None:
        """Writes what waits, for a while, and leaves logging as it was."""
        if "" in self._before:
            logging.getLogger().handlers = self._before[""][1]
        for name, (level, _) in self._before.items():
            logging.getLogger(name).setLevel(level)
        self._before.clear()
        if self._thread.is_alive():
            try:
                self._waiting.put(None, timeout=CLOSE_S)
            except queue.Full:
                return  # nobody takes it; what waits is lost with the program
            self._thread.join(CLOSE_S)
        super().close()

    def __enter__(self) -> NodeLog:
        return self.open()

    def __exit__(self, *error: object) -> None:
        self.close()

    # -- levels ----------------------------------------------------------------------------------------------------

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of modules that have a level."""
        return tuple(self._levels)

    def set_level(self, module: str, level: str) -> None:
        """`change_level` for the modules of this log. Raises UnknownLevel, UnknownPart."""
        change_level(module, level, self._levels)

    # -- lines -----------------------------------------------------------------------------------------------------

    def tail(self, limit: int = 0, level: int = 0, contains: str = "") -> Sequence[Line]:
        """The newest lines, oldest first; limit 0: all that are kept. Safe from any thread.

        level: as of Python's `logging`, the least; contains: in any case.
        """
        self.acquire()
        try:
            lines = list(self._tail)
        finally:
            self.release()
        wanted = contains.casefold()
        found = [line for line in lines if line.level >= level and wanted in line.message.casefold()]
        return found[-limit:]

    def on_error(self, hear: Callable[[Line], None]) -> None:
        """Calls `hear` with every line of level error and above, in the thread that logs; it has to return at once."""
        self._heard_by.append(hear)

    def emit(self, record: logging.LogRecord) -> None:
        """logging: takes a record."""
        line = _line(record)
        self._tail.append(line)
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self._left_out += 1
        if record.levelno >= logging.ERROR and not getattr(self._inside, "hook", False):
            self._inside.hook = True  # what a listener logs is not told to it again
            try:
                for hear in self._heard_by:
                    hear(line)
            finally:
                self._inside.hook = False

    def _write(self) -> None:
        while (record := self._waiting.get()) is not None:
            self._output.handle(record)
            if self._left_out and self._waiting.qsize() < WAITING_LINES // 2:
                count, self._left_out = self._left_out, 0
                self._output.handle(_own(f"{count} lines were left out here: this log's output takes them too slowly."))
        self._output.flush()
        self._output.close()


def output_to(
    stream: TextIO | None = None,
    *,
    encoder: str = CONSOLE,
    file: Path | None = None,
    size: int = 100 << 20,
    files: int = 5,
) -> logging.Handler:
    """Where a log goes: a stream (standard output), or a file of so many bytes, of which so many old ones are kept.

    Raises UsageError for an unknown encoder, EnvironmentFault for a file that cannot be written.
    """
    if encoder not in ENCODERS:
        raise UsageError(f"logging.log-encoder is {shown(encoder)}, expected {' or '.join(ENCODERS)}.")
    made: logging.Handler
    if file is None:
        made = _Stream(stream or sys.stdout)
    else:
        try:
            made = LogFile(file, maxBytes=size, backupCount=files, encoding="utf-8")
        except OSError as error:
            raise EnvironmentFault(f"The log file {file} cannot be written: {error.strerror}.") from None
    made.setFormatter(JsonLines() if encoder == JSON else ConsoleLines())
    return made


class _Stream(logging.StreamHandler[TextIO]):
    """Standard output. Who closes it hears no more; the node goes on."""

    def handleError(self, record: logging.LogRecord) -> None:
        """logging: the record could not be written."""


class JsonLines(logging.Formatter):
    """One object a line: L, T, N, M, then the fields; S is the trace of an error."""

    def format(self, record: logging.LogRecord) -> str:
        """logging: the text of a record."""
        document: dict[str, Any] = {
            "L": level_name(record.levelno),
            "T": _time(record),
            "N": _name(record),
            "M": record.getMessage(),
            **_fields(record),
        }
        if trace := _trace(record):
            document["S"] = trace
        return _valid(json.dumps(document, default=str, ensure_ascii=False))


class ConsoleLines(logging.Formatter):
    """time TAB level TAB logger TAB message TAB fields; the trace of an error follows it in lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """logging: the text of a record."""
        parts = [_time(record), level_name(record.levelno), _name(record), _one_line(record.getMessage())]
        if found := _fields(record):
            parts.append(json.dumps(found, default=str, ensure_ascii=False))
        trace = _trace(record)
        return _valid("\t".join(parts) + (f"\n{trace}" if trace else ""))


def clock_sentence(now: datetime | None = None) -> str:
    """What the times of a log are, beside the clock of this machine."""
    here = (now or datetime.now(UTC)).astimezone()
    return (
        f"Times in this log are UTC. The clock of this machine shows {here:%H:%M:%S} now, UTC{here:%z}"
        f"{f' ({here:%Z})' if here.tzname() else ''}."
    )


def _own(message: str) -> logging.LogRecord:
    return logging.LogRecord(ROOT, logging.WARNING, "", 0, message, None, None)


def _line(record: logging.LogRecord) -> Line:
    """What is remembered of a record; the message is made now, while its arguments are what they were."""
    record.msg, record.args = _message(record), None
    found = _fields(record)
    return Line(
        int(record.created * 1_000_000) * 1000,
        record.levelno,
        _name(record),
        str(record.msg)[:LONGEST],
        json.dumps(found, default=str)[:LONGEST] if found else "",
        _valid(_trace(record))[: 4 * LONGEST],
    )


def _message(record: logging.LogRecord) -> str:
    """The words of a record; where its arguments do not fit them, both: that must not end who wrote it."""
    try:
        return _valid(record.getMessage())
    except (TypeError, ValueError, KeyError):
        return _valid(f"{record.msg} {record.args}")


def _valid(text: str) -> str:
    """Without halves of characters, which no output and no client takes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _name(record: logging.LogRecord) -> str:
    """Everything is said by the node, whatever part or library of it speaks."""
    is_ours = record.name == ROOT or record.name.startswith(f"{ROOT}.")
    return record.name if is_ours else f"{ROOT}.{record.name}"


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    found: Mapping[str, object] = getattr(record, _FIELDS, {})
    return found


def _trace(record: logging.LogRecord) -> str:
    if record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_info = None
    return record.exc_text or ""


def _time(record: logging.LogRecord) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _one_line(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
