"""One data directory on disk: the only module that touches its files, on the calls of `durable`.

Data files only ever grow at their end, are cut to a length, or have whole labels replaced; they may be links to files
on other disks. Small files are replaced atomically. A lock file lets one process write at a time. Errors of the system
come out as `EnvironmentFault` with what to do.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prover import durable
from prover.durable import explained
from prover.errors import DataError
from prover.post.layout import file_number

LOCK_NAME = "smesher.lock"
PAGE = 4096
"""Bytes. Reads past the page cache must begin and end at multiples of it, in the file and in memory."""

DIRECT = hasattr(os, "O_DIRECT")
"""Whether the system has reads past its page cache; single file systems may still refuse them."""

_PROBE = "probe"


class Storage:
    """The files of one data directory. Methods raise `EnvironmentFault` when the system refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: dict[str, int] = {}

    def exists(self) -> bool:
        """Whether the directory is there (a file in its place is not a directory)."""
        return self.path.is_dir()

    def create(self) -> list[Path]:
        """Makes the directory, readable by its owner alone, if it is not there; returns what was made."""
        with explained(self.path, "create the directory"):
            return durable.make_directory(self.path)

    def names(self) -> dict[str, int]:
        """Name and size in bytes of everything in the directory that is a file (or a link to one)."""
        sizes: dict[str, int] = {}
        with explained(self.path, "read the directory"):
            for entry in os.scandir(self.path):
                with contextlib.suppress(FileNotFoundError):  # a link to nothing, or gone since
                    status = entry.stat()
                    if stat.S_ISREG(status.st_mode):
                        sizes[entry.name] = status.st_size
        return sizes

    def data_files(self) -> dict[int, int]:
        """Number and size in bytes of every data file."""
        files = {}
        for name, size in self.names().items():
            number = file_number(name)
            if number is not None:
                files[number] = size
        return dict(sorted(files.items()))

    def read_small(self, name: str, limit: int = durable.SMALL_BYTES) -> bytes | None:
        """The whole content of a small file of at most `limit` bytes; None when it is not there."""
        with explained(self.path / name, "read"):
            try:
                return durable.read_whole(self.path / name, limit)
            except FileNotFoundError:
                return None

    def read(self, name: str, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; fewer at the end of the file."""
        with explained(self.path / name, "read"):
            descriptor = durable.open_file(self.path / name, os.O_RDONLY)
            try:
                pieces, left = [], size
                while left and (piece := os.pread(descriptor, left, offset + size - left)):
                    pieces.append(piece)
                    left -= len(piece)
                return b"".join(pieces)
            finally:
                os.close(descriptor)

    def read_past_cache(self, name: str, offset: int, size: int) -> bytes:
        """As `read`, from the disk itself where that is possible: the cache may hold what the disk has lost."""
        first = offset - offset % PAGE
        pages = mmap.mmap(-1, -(-(offset + size - first) // PAGE) * PAGE)
        count = self.read_into(name, first, pages)
        return pages[offset - first : min(count, offset - first + size)]

    def read_into(self, name: str, offset: int, target: memoryview | bytearray | Any) -> int:
        """Fills `target` from `offset` and returns the bytes read; they do not stay in the system's page cache.

        Where position, size and memory are in whole pages they do not pass through it either: no copy is made.
        """
        view = memoryview(target)
        with explained(self.path / name, "read"):
            if DIRECT and not (offset % PAGE or len(view) % PAGE):
                with contextlib.suppress(_NotDirect):
                    return _read_directly(self.path / name, offset, view)
            return _read_buffered(self.path / name, offset, view)

    def replace(self, name: str, data: bytes) -> None:
        """Writes a small file so that after a crash at any instant it holds the old content or the new."""
        with explained(self.path / name, "write"):
            durable.replace(self.path / name, data)

    def create_secret(self, name: str, data: bytes) -> bool:
        """Writes a new file (mode 0600) that must not be there; False when it is."""
        if os.path.lexists(self.path / name):
            return False
        self.replace(name, data)
        return True

    def append(self, name: str, data: bytes) -> None:
        """Adds bytes at the end of a file, which is made if it is not there."""
        with explained(self.path / name, "write"):
            durable.write_all(self._descriptor(name), data)

    def write_over(self, name: str, offset: int, data: bytes) -> None:
        """Replaces bytes inside a file; on stable storage after `sync` or `finish`."""
        with explained(self.path / name, "write"):
            durable.write_all_at(self._descriptor(name), data, offset)

    def sync(self, name: str) -> None:
        """Waits until what was written to a file, and its name, are on stable storage."""
        with explained(self.path / name, "write"):
            durable.sync_data(self._descriptor(name))
        self.sync_directory()

    def finish(self, name: str) -> None:
        """`sync`, then closes the file."""
        self.sync(name)
        os.close(self._open.pop(name))

    def truncate(self, name: str, size: int) -> None:
        """Cuts a file to `size` bytes, durably."""
        with explained(self.path / name, "shorten"):
            durable.truncate(self.path / name, size)

    def remove(self, name: str) -> None:
        """Deletes a file, durably."""
        with explained(self.path / name, "delete"):
            durable.remove(self.path / name)

    def set_aside(self, name: str) -> str:
        """Renames a file that cannot be used; returns its new name."""
        with explained(self.path / name, "rename"):
            return durable.set_aside(self.path / name).name

    def sync_directory(self) -> None:
        """Makes names that were added or removed durable."""
        with explained(self.path, "write to the directory"):
            durable.sync_directory(self.path)

    def close(self) -> None:
        """Closes data files that are still open, without waiting for the disk."""
        while self._open:
            os.close(self._open.popitem()[1])

    def free_bytes(self) -> int:
        """Bytes that this user may still write to the directory's disk."""
        return free_bytes(self.path)

    def check_writable(self, names: Sequence[str]) -> None:
        """Raises `EnvironmentFault` when the directory or one of the named files cannot be written."""
        with explained(self.path, "write to the directory"):
            probe = durable.temporary(self.path / _PROBE)
            os.close(durable.open_new(probe))
            os.unlink(probe)
        for name in names:
            file = self.path / name
            with explained(file, "write"), contextlib.suppress(FileNotFoundError):
                os.close(durable.open_file(file, os.O_WRONLY))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the directory for one writing process.

        Raises `DataError` that names the process which holds it.
        """
        path = self.path / LOCK_NAME
        with explained(path, "lock"):
            while True:
                descriptor = durable.open_file(path, os.O_RDWR | os.O_CREAT, follow=False)
                if not durable.try_lock(descriptor):
                    holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                    os.close(descriptor)
                    raise DataError(
                        f"{self.path} is in use by process {holder or 'unknown'}. Wait until it ends or stop it, "
                        "then try again."
                    )
                if _same_file(path, descriptor):
                    break
                os.close(descriptor)  # its last holder has just removed it
        try:
            with explained(path, "write"):
                _sign(descriptor)
            yield
        finally:
            with contextlib.suppress(OSError):  # a name that stays locks nobody: the lock is that of the descriptor
                os.unlink(path)
            os.close(descriptor)

    def _descriptor(self, name: str) -> int:
        """Of a data file, at its end."""
        if name not in self._open:
            descriptor = durable.open_file(self.path / name, os.O_WRONLY | os.O_CREAT)
            os.lseek(descriptor, 0, os.SEEK_END)
            self._open[name] = descriptor
        return self._open[name]


def _sign(descriptor: int) -> None:
    """Says in the lock file who holds it. On a full disk it holds without that: the kernel knows."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def nearest(path: Path) -> Path:
    """The path, or the lowest directory above it that is there."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """Bytes that this user may still write to the disk of a directory, which need not be there yet."""
    place = nearest(path)
    with explained(place, "ask for the free space"):
        status = os.statvfs(place)
    return status.f_bavail * status.f_frsize


class _NotDirect(Exception):
    """The file system has no reads past the page cache, or not into this memory."""


def _read_directly(path: Path, offset: int, view: memoryview) -> int:
    try:
        descriptor = durable.open_file(path, os.O_RDONLY | os.O_DIRECT)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise _NotDirect from None
        raise
    try:
        done = 0
        while done < len(view):
            count = os.preadv(descriptor, [view[done:]], offset + done)
            done += count
            if not count or done % PAGE:
                break  # the end of the file
        return done
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise _NotDirect from None
        raise
    finally:
        os.close(descriptor)


def _read_buffered(path: Path, offset: int, view: memoryview) -> int:
    descriptor = durable.open_file(path, os.O_RDONLY)
    try:
        done = 0
        while done < len(view) and (count := os.preadv(descriptor, [view[done:]], offset + done)):
            done += count
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, offset, done, os.POSIX_FADV_DONTNEED)
        return done
    finally:
        os.close(descriptor)


def _same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
