"""One data directory on disk: the only module that touches its files.

Data files only ever grow at their end, are cut to a length, or have whole labels replaced. Small files are
replaced atomically: temporary file, fsync, rename, fsync of the directory. A lock file lets one process
write at a time. Errors of the system come out as `EnvironmentFault` with what to do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prover.errors import DataError, EnvironmentFault
from prover.post.layout import file_number

LOCK_NAME = "smesher.lock"
DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
_TEMPORARY = ".{}.new"
PAGE = 4096
"""Bytes. Reads past the page cache must begin and end at multiples of it, in the file and in memory."""

DIRECT = hasattr(os, "O_DIRECT")
"""Whether the system has reads past its page cache; single file systems may still refuse them."""


class Storage:
    """The files of one data directory. Methods raise `EnvironmentFault` when the system refuses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: dict[str, int] = {}

    def exists(self) -> bool:
        """Whether the directory is there (a file in its place is not a directory)."""
        return self.path.is_dir()

    def create(self) -> None:
        """Makes the directory, readable by its owner alone, if it is not there."""
        with explained(self.path, "create the directory"):
            self.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)

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

    def read_small(self, name: str) -> bytes | None:
        """The whole content of a small file; None when it is not there."""
        with explained(self.path / name, "read"):
            try:
                return (self.path / name).read_bytes()
            except FileNotFoundError:
                return None

    def read(self, name: str, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; fewer at the end of the file."""
        with explained(self.path / name, "read"), open(self.path / name, "rb", buffering=0) as file:
            pieces, left = [], size
            file.seek(offset)
            while left and (piece := file.read(left)):
                pieces.append(piece)
                left -= len(piece)
            return b"".join(pieces)

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
        temporary = self.path / _TEMPORARY.format(name)
        with explained(self.path / name, "write"):
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
            try:
                _write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, self.path / name)
        self.sync_directory()

    def create_secret(self, name: str, data: bytes) -> bool:
        """Writes a new file (mode 0600) that must not be there; False when it is."""
        if (self.path / name).exists():
            return False
        self.replace(name, data)
        return True

    def append(self, name: str, data: bytes) -> None:
        """Adds bytes at the end of a file, which is made if it is not there."""
        with explained(self.path / name, "write"):
            _write_all(self._descriptor(name), data)

    def write_at(self, name: str, offset: int, data: bytes) -> None:
        """Replaces bytes inside a file."""
        with explained(self.path / name, "write"):
            descriptor = os.open(self.path / name, os.O_WRONLY)
            try:
                os.lseek(descriptor, offset, os.SEEK_SET)
                _write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def sync(self, name: str) -> None:
        """Waits until what was appended to a file, and its name, are on stable storage."""
        with explained(self.path / name, "write"):
            _sync_data(self._descriptor(name))
        self.sync_directory()

    def finish(self, name: str) -> None:
        """`sync`, then closes the file."""
        self.sync(name)
        os.close(self._open.pop(name))

    def truncate(self, name: str, size: int) -> None:
        """Cuts a file to `size` bytes, durably."""
        with explained(self.path / name, "shorten"):
            os.truncate(self.path / name, size)
            descriptor = os.open(self.path / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def remove(self, name: str) -> None:
        """Deletes a file, durably."""
        with explained(self.path / name, "delete"):
            (self.path / name).unlink()
        self.sync_directory()

    def sync_directory(self) -> None:
        """Makes names that were added or removed durable."""
        with explained(self.path, "write to the directory"):
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                with contextlib.suppress(OSError):  # some file systems cannot sync a directory
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Closes data files that are still open, without waiting for the disk."""
        while self._open:
            os.close(self._open.popitem()[1])

    def free_bytes(self) -> int:
        """Bytes that this user may still write to the directory's disk."""
        with explained(self.path, "ask for the free space"):
            status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def check_writable(self, names: list[str]) -> None:
        """Raises `EnvironmentFault` when the directory or one of the named files cannot be written."""
        with explained(self.path, "write to the directory"):
            probe = self.path / _TEMPORARY.format("probe")
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT, FILE_MODE))
            probe.unlink()
        for name in names:
            file = self.path / name
            if file.exists():
                with explained(file, "write"):
                    os.close(os.open(file, os.O_WRONLY))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the directory for one writing process.

        Raises `DataError` that names the process which holds it.
        """
        import fcntl

        path = self.path / LOCK_NAME
        with explained(path, "lock"):
            while True:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                    os.close(descriptor)
                    raise DataError(
                        f"{self.path} is in use by process {holder or 'unknown'}. Wait until it ends or stop it, "
                        "then try again."
                    ) from None
                if _same_file(path, descriptor):
                    break
                os.close(descriptor)  # its last holder has just removed it
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)

    def _descriptor(self, name: str) -> int:
        if name not in self._open:
            self._open[name] = os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)
        return self._open[name]


class _NotDirect(Exception):
    """The file system has no reads past the page cache, or not into this memory."""


def _read_directly(path: Path, offset: int, view: memoryview) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
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
    descriptor = os.open(path, os.O_RDONLY)
    try:
        done = 0
        while done < len(view) and (count := os.preadv(descriptor, [view[done:]], offset + done)):
            done += count
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, offset, done, os.POSIX_FADV_DONTNEED)
        return done
    finally:
        os.close(descriptor)


def boot_id() -> str | None:
    """A name for this boot of the machine: after a power cut it is another one. None when the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            answer = subprocess.run(
                ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, timeout=5
            )
            return answer.stdout.strip() or None
    return None


def _same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sync_data(descriptor: int) -> None:
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.write(descriptor, view)
        view = view[written:]


_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space, then run the same command again; what was written is kept",
    errno.EDQUOT: "your disk quota is used up: raise it, then run the same command again; what was written is kept",
    errno.ENOENT: "it is not there",
    errno.EACCES: "permission denied: the user who runs this needs write access to the file and its directory",
    errno.EPERM: "not permitted: the file belongs to another user or is protected",
    errno.EROFS: "the disk is mounted read-only: mount it writable, or choose another directory",
    errno.EIO: "the disk reports an input/output error: check its cable and health; what was written before is kept",
    errno.ENOTDIR: "a part of the path is a file, not a directory",
    errno.EEXIST: "a file of that name is in the way of the directory",
    errno.ENAMETOOLONG: "the path is too long",
    errno.EFBIG: "the file system or a limit of the process does not allow files this large",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
}


@contextlib.contextmanager
def explained(path: Path, deed: str) -> Iterator[None]:
    """Turns errors of the system into `EnvironmentFault`: what could not be done with which path, and what to do."""
    try:
        yield
    except OSError as error:
        reason = _ADVICE.get(error.errno or 0, error.strerror or str(error))
        raise EnvironmentFault(f"Cannot {deed} {path}: {reason}.") from error
