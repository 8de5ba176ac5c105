"""The check of a directory: what decides over the state at the next opening, or every byte."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from prover import durable

from .batch import HEADER_BYTES
from .findings import Finding
from .log import Log, read_log
from .manifest import Manifest, read_manifest
from .table import check_table

CURRENT = "CURRENT"
MAX_FILE_BYTES = 1 << 31
"""Of one file that is read whole: far above what a database writes, far below what a disk can hold."""
_CURRENT_TEXT = re.compile(rb"(MANIFEST-\d{6,})\n")
_NUMBERED = re.compile(r"(\d{6,})\.(log|ldb|sst)")

Progress = Callable[[int], None]
"""Told how many bytes more were read."""


@dataclass(slots=True)
class Report:
    """What was read, and what is wrong with it."""

    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    read_bytes: int = 0
    torn: list[Finding] = field(default_factory=list)
    """Tails that were being written when the process or the machine stopped: the state before them counts."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def exists(directory: Path) -> bool:
    """Whether a database is or was here: one that is only half made, with nothing in it, does not count.

    Raises OSError.
    """
    try:
        names = [file.name for file in directory.iterdir()]
    except FileNotFoundError:
        return False
    return CURRENT in names or any(_NUMBERED.fullmatch(name) for name in names)


def size_of(directory: Path) -> int:
    """Bytes that `full` reads. Raises OSError."""
    return sum(file.stat().st_size for file in directory.iterdir() if _is_data(file.name))


def quick(directory: Path) -> Report:
    """Read what decides over the state at the next opening: CURRENT, manifest, logs; names and sizes of the tables.

    The database must not be open. Raises OSError.
    """
    return _Check(directory, lambda count: None).run(read_tables=False)


def full(directory: Path, progress: Progress = lambda count: None) -> Report:
    """Read every byte of every file that counts. The database must not be open. Raises OSError."""
    return _Check(directory, progress).run(read_tables=True)


def tables(directory: Path) -> Report:
    """Read every table there is, also while the database is open: which one is damaged. Raises OSError."""
    report = Report()
    for file in sorted(directory.iterdir()):
        match = _NUMBERED.fullmatch(file.name)
        if match is not None and match[2] != "log":
            data = durable.read_whole(file, MAX_FILE_BYTES)
            report.findings += check_table(file.name, data)
            report.files += 1
            report.read_bytes += len(data)
    return report


def _is_data(name: str) -> bool:
    return name == CURRENT or name.startswith("MANIFEST-") or _NUMBERED.fullmatch(name) is not None


class _Check:
    def __init__(self, directory: Path, progress: Progress) -> None:
        self._directory = directory
        self._progress = progress
        self._report = Report()

    def run(self, read_tables: bool) -> Report:
        manifest = self._manifest()
        if manifest is not None:
            self._tables(manifest, read_tables)
            self._logs(manifest)
        return self._report

    def _manifest(self) -> Manifest | None:
        current = self._read(CURRENT)
        if current is None:
            return None
        match = _CURRENT_TEXT.fullmatch(current)
        if match is None:
            self._wrong(CURRENT, None, f"{current[:40]!r} names no manifest")
            return None
        name = match[1].decode()
        data = self._read(name)
        if data is None:
            return None
        log = self._log(name, data)
        if log.damage is not None:
            return None
        try:
            manifest = read_manifest(log.records)
        except ValueError as error:
            self._wrong(name, None, str(error))
            return None
        if not log.records or not manifest.comparator:
            self._wrong(name, None, "nothing is recorded in it")
            return None
        if not manifest.next_file:  # the first edit lists the tables; what is open is only in the next one
            self._wrong(name, len(data), "it ends before it says which log is open")
            return None
        return manifest

    def _tables(self, manifest: Manifest, read: bool) -> None:
        for number, size in sorted(manifest.tables.items()):
            name = next((one for one in (f"{number:06}.ldb", f"{number:06}.sst") if self._has(one)), None)
            if name is None:
                self._wrong(f"{number:06}.ldb", None, "this table is missing")
                continue
            found = os.lstat(self._directory / name).st_size
            if found != size:
                self._wrong(name, None, f"it has {found} bytes, expected {size}")
            elif read:
                data = self._read(name)
                self._report.findings += [] if data is None else check_table(name, data)

    def _logs(self, manifest: Manifest) -> None:
        names = {int(match[1]): file.name for file in self._directory.iterdir() if (match := _log_name(file.name))}
        live = sorted(number for number in names if number >= manifest.log_number or number == manifest.previous_log)
        if manifest.log_number and manifest.log_number not in names:
            self._wrong(f"{manifest.log_number:06}.log", None, "this log is missing")
            return
        following: int | None = None
        """Number that the next operation must have; None: not known."""
        torn: Finding | None = None
        for number in live:
            data = self._read(names[number])
            log = self._log(names[number], data or b"")
            if log.damage is not None:
                return
            if torn is not None and log.records:
                self._report.findings.append(torn)
                return
            following = self._follow(log, following, manifest.last_sequence)
            if log.torn_at is not None:
                torn = Finding(log.name, log.torn_at, "it is cut short, and a later log goes on behind it")

    def _follow(self, log: Log, following: int | None, last_sequence: int) -> int | None:
        """Batches are numbered without gaps; after the last one of a log, the number of the next one."""
        for place, record in enumerate(log.records):
            first = int.from_bytes(record[:8], "little")
            if len(record) < HEADER_BYTES:
                self._wrong(log.name, None, f"record {place} has {len(record)} bytes, too few for a batch")
            elif following is None and first > last_sequence + 1:
                self._wrong(log.name, None, f"it begins with number {first}, but {last_sequence + 1} is missing")
            elif following is not None and first != following:
                self._wrong(log.name, None, f"number {following} is missing; record {place} has number {first}")
            else:
                following = first + int.from_bytes(record[8:HEADER_BYTES], "little")
                continue
            break
        return following

    def _log(self, name: str, data: bytes) -> Log:
        log = read_log(name, data)
        if log.damage is not None:
            self._report.findings.append(log.damage)
        if log.torn_at is not None:
            self._report.torn.append(Finding(name, log.torn_at, "the last record was not written whole"))
        return log

    def _has(self, name: str) -> bool:
        return os.path.lexists(self._directory / name)

    def _read(self, name: str) -> bytes | None:
        if not self._has(name):
            self._wrong(name, None, "this file is missing")
            return None
        status = os.lstat(self._directory / name)
        if not stat.S_ISREG(status.st_mode):
            self._wrong(name, None, "this is not a file but a link, a folder or a device, which is not opened")
            return None
        if status.st_size > MAX_FILE_BYTES:
            self._wrong(name, None, f"it has {status.st_size} bytes, more than a database writes into one file")
            return None
        data = (self._directory / name).read_bytes()
        self._report.files += 1
        self._report.read_bytes += len(data)
        self._progress(len(data))
        return data

    def _wrong(self, name: str, offset: int | None, text: str) -> None:
        self._report.findings.append(Finding(name, offset, text))


def _log_name(name: str) -> re.Match[str] | None:
    match = _NUMBERED.fullmatch(name)
    return match if match is not None and match[2] == "log" else None
