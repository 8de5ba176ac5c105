"""A store in LevelDB.

LevelDB is opened only after its files were read by ourselves: it passes over some damage at the end of a log, and over
a missing `CURRENT` it begins anew. It compares checksums at every read; when one is wrong, the damaged file is looked
for and named. After a write that failed it would go on appending behind a torn record, which its next start leaves
out: so it is closed.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

from prover import durable, leveldb
from prover.leveldb_files import check
from prover.leveldb_files.findings import Finding

from .errors import StoreDamaged, StoreFault, StoreFull, StoreRefused
from .marker import Marker, marker_of
from .own import OwnStore
from .store import Store
from .table import Schema
from .view import Pair, Snapshot

S = TypeVar("S", bound=Store)

WRITE_BUFFER = 16 << 20
"""Bytes of rows in memory before they become a table; also about the size of a log."""
CACHE = 32 << 20
"""Bytes of blocks that are kept in memory."""
OPEN_TABLES = 200
"""Files that are kept open."""
FILTER_BITS = 10
"""Of each key, so that a look for one that is not there reads nothing, 99 times of 100."""

COPIED_AT_ONCE = 4096
"""Rows of a backup that are in memory."""

_NO_SPACE = ("No space left", "Disk quota")
_FULL = (errno.ENOSPC, errno.EDQUOT)


def open_store(path: Path, schema: Schema) -> Store:
    """The store in a folder, made if there never was one. Raises StoreFault, StoreDamaged, StoreRefused."""
    return _checked(Store, path, schema)


def open_own_store(path: Path, schema: Schema) -> OwnStore:
    """The own store in a folder, as `open_store`."""
    return _checked(OwnStore, path, schema)


def back_up(store: Store, path: Path) -> int:
    """Copies a store, while it is in use, to a new folder; how many rows it has. Raises StoreFault, StoreRefused."""
    if path.exists() or marker_of(path).exists():
        raise StoreRefused(f"{path} exists already. Name a folder that is not there.")
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    snapshot = store.snapshot()
    try:
        count = _copy(snapshot, partial, store.schema.name)
        durable.rename(partial, path)
        durable.rename(marker_of(partial), marker_of(path))
    except OSError as error:
        raise StoreFault(f"The backup {path} cannot be written: {durable.reason(error)}.") from None
    finally:
        snapshot.close()
        shutil.rmtree(partial, ignore_errors=True)  # what could not be copied whole; else it is not there any more
        with suppress(OSError):  # what kept it from being written is what is told
            marker_of(partial).unlink()
    return count


def _copy(snapshot: Snapshot, path: Path, name: str) -> int:
    rows = snapshot.scan(b"", None, False)
    copy = LevelBackend.open(path, name)
    try:
        count = 0
        while batch := list(islice(rows, COPIED_AT_ONCE)):
            copy.write(batch, sync=True)
            count += len(batch)
        return count
    finally:
        copy.close()


def _checked(kind: type[S], path: Path, schema: Schema) -> S:
    backend = LevelBackend.open(path, schema.name)
    try:
        return kind(schema, backend)
    except BaseException:
        backend.close()
        raise


class LevelBackend:
    """A Backend of `store`."""

    def __init__(self, path: Path, database: leveldb.DB, marker: Marker) -> None:
        self._path = path
        self._database = database
        self._marker = marker
        self._synced_log = ""
        """Name of the newest log when the folder was synced."""

    @classmethod
    def open(cls, path: Path, name: str) -> LevelBackend:
        """The database in a folder. Raises StoreFault and below."""
        marker = Marker.take(path)
        try:
            must_exist = marker.says_it_existed or _exists(path)
            if must_exist:
                _require_whole(path)
            backend = cls(path, _open(path, create=not must_exist), marker)
            if not marker.says_it_existed:
                marker.write(name)
        except BaseException:
            marker.release()
            raise
        return backend

    def get(self, key: bytes) -> bytes | None:
        """As Backend says."""
        with _explained(self._path):
            value: bytes | None = self._database.get(key, verify_checksums=True)
            return value

    def snapshot(self) -> LevelSnapshot:
        """As Backend says."""
        with _explained(self._path):
            return LevelSnapshot(self._path, self._database)

    def write(self, changes: Iterable[tuple[bytes, bytes | None]], sync: bool) -> None:
        """As Backend says."""
        with _explained(self._path):
            batch = self._database.write_batch(sync=sync)
            put, delete = batch.put, batch.delete
            for key, value in changes:
                if value is None:
                    delete(key)
                else:
                    put(key, value)
            batch.write()
        if sync:
            self._sync_other_logs()

    def size_of(self, start: bytes, stop: bytes) -> int:
        """About how many bytes of files the keys from one on below another take; what was written last is not counted
        yet. Raises StoreFault."""
        with _explained(self._path):
            size: int = self._database.approximate_size(start, stop)
            return size

    def compact(self) -> None:
        """Writes all files anew, without what was deleted or written over. Raises StoreFault."""
        with _explained(self._path):
            self._database.compact_range()

    def _sync_other_logs(self) -> None:
        """LevelDB has synced the log that it writes, but neither its name, if it is a new one, nor the log before, of
        which a power cut could then lose the end although rows behind it last."""
        try:
            logs = sorted((name for name in os.listdir(self._path) if name.endswith(".log")), key=_in_order)
            if logs and logs[-1] != self._synced_log:
                for name in logs[:-1]:
                    with suppress(FileNotFoundError):  # LevelDB has no more need of it
                        durable.sync_file(self._path / name)
                durable.sync_directory(self._path)
                self._synced_log = logs[-1]
        except OSError as error:
            kind = StoreFull if error.errno in _FULL else StoreFault
            raise kind(f"The store {self._path} cannot be written: {durable.reason(error)}.") from None

    def close(self) -> None:
        """As Backend says; a second time does nothing."""
        if not self._database.closed:
            self._database.close()
            self._marker.release()


class LevelSnapshot:
    """A Snapshot of `view`."""

    def __init__(self, path: Path, database: leveldb.DB) -> None:
        self._path = path
        self._snapshot = database.snapshot()

    def get(self, key: bytes) -> bytes | None:
        """As Snapshot says."""
        try:
            value: bytes | None = self._snapshot.get(key, verify_checksums=True)
        except leveldb.Error as error:
            raise _fault(self._path, error) from error
        return value

    def scan(self, start: bytes, stop: bytes | None, reverse: bool) -> Iterator[Pair]:
        """As Snapshot says."""
        # plyvel leaves out the first key of a range where it goes backwards and that key is the only one
        first = None if reverse else start
        with (
            _explained(self._path),
            self._snapshot.iterator(start=first, stop=stop, reverse=reverse, verify_checksums=True) as rows,
        ):
            if not reverse:
                yield from rows
                return
            for pair in rows:
                if pair[0] < start:
                    return
                yield pair

    def close(self) -> None:
        """As Snapshot says."""
        self._snapshot.close()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except leveldb.Error as error:
        raise _fault(path, error) from error


def _in_order(name: str) -> tuple[int, str]:
    """Numbered names sort by their numbers, also where one has more digits."""
    return len(name), name


def _exists(path: Path) -> bool:
    try:
        return check.exists(path)
    except OSError as error:
        raise StoreFault(f"{path} cannot be read: {durable.reason(error)}.") from None


def _require_whole(path: Path) -> None:
    """Raises StoreDamaged where what decides over the state is not whole."""
    if not path.is_dir():
        raise StoreDamaged(
            f"The store {path} is missing, although {path.name}.store beside it says that it existed. Restore it from "
            "a backup; or, to begin anew and lose what it held, delete that file."
        )
    try:
        report = check.quick(path)
    except OSError as error:
        raise StoreFault(f"{path} cannot be read: {durable.reason(error)}.") from None
    if report.findings:
        raise damaged(path, report.findings)


def damaged(path: Path, findings: list[Finding]) -> StoreDamaged:
    """What to say of a store with these faults."""
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return StoreDamaged(
        f"The store {path} is damaged. {findings[0]}{more}. Nothing was changed. `smesher db check` lists every "
        "fault; restore the store from a backup, or delete it and the file beside it to begin anew."
    )


def _open(path: Path, create: bool) -> leveldb.DB:
    try:
        return leveldb.DB(
            str(path),
            create_if_missing=create,
            paranoid_checks=True,
            write_buffer_size=WRITE_BUFFER,
            lru_cache_size=CACHE,
            max_open_files=OPEN_TABLES,
            bloom_filter_bits=FILTER_BITS,
        )
    except leveldb.Error as error:
        text = _text(error)
        if isinstance(error, leveldb.IOError) and "lock" in text.lower():
            raise StoreRefused(f"{path} is in use by another process. Stop it, then try again. ({text})") from None
        raise _fault(path, error) from error


def _fault(path: Path, error: Exception) -> StoreFault:
    """What an error of LevelDB means. A damaged table shows itself in many ways; so all are read to find out."""
    text = _text(error)
    if any(word in text for word in _NO_SPACE):
        return StoreFull(f"The store {path} cannot be written: {text}. Make room on the disk, then start again.")
    try:
        findings = check.tables(path).findings
    except OSError:  # what cannot be read adds nothing to the error that is told
        findings = []
    if findings or isinstance(error, leveldb.CorruptionError):
        return damaged(path, findings or [Finding(path.name, None, text)])
    return StoreFault(f"The store {path} cannot be read or written: {text}.")


def _text(error: Exception) -> str:
    first = error.args[0] if error.args else error
    return first.decode(errors="replace") if isinstance(first, bytes) else str(first)
