"""What is on stable storage, and what is only believed to be: the one module that syncs, replaces and makes files.

A sync that fails has lost what was written since the last good one: the system reports it once, forgets the pages, and
the next sync succeeds. So an error is never swallowed here, and whoever gets one writes those bytes again instead of
syncing again. A new name is durable when its directory was synced, a new directory when its parent was.

Files that somebody else may have placed are not believed: what is written under a temporary name is a new file of ours,
a link in a place where no link belongs is not followed, FIFOs and devices are not opened to be waited for, and a file
that is read whole has a size that is expected.

Functions raise OSError; `explained` turns it into an `EnvironmentFault` with what to do.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from prover.errors import EnvironmentFault

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600

SMALL_BYTES = 16 << 20
"""What a file that is read whole may have, unless its reader says otherwise: a proof's saved pass is the largest."""

_TEMPORARY = ".{}.new"
_NOT_SUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFREG: "a file",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
}


class Unfit(OSError):
    """What stands under a name (`filename`) is not what may stand there; its text says what it is and what to do."""

    def __init__(self, path: str | os.PathLike[str], why: str) -> None:
        super().__init__(why)
        self.filename, self.strerror = os.fspath(path), why

    def __str__(self) -> str:
        return str(self.strerror)


# -- syncs -------------------------------------------------------------------------------------------------------------


def sync(descriptor: int) -> None:
    """Waits until a file is on stable storage, times and all."""
    os.fsync(descriptor)


def sync_data(descriptor: int) -> None:
    """Waits until the content of a file, and its length, are on stable storage."""
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def sync_file(path: str | os.PathLike[str]) -> None:
    """`sync` of a file by its path."""
    descriptor = open_file(path, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Makes names that were added to a directory, or taken from it, durable.

    Where the file system cannot sync directories (it says "invalid" or "not supported") that is all there is to have.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    finally:
        os.close(descriptor)


def make_directory(path: Path, mode: int = DIRECTORY_MODE) -> list[Path]:
    """Makes a directory and those above it that are missing, durably; returns those, the highest first."""
    missing: list[Path] = []
    place = path
    while not place.is_dir():
        missing.append(place)
        place = place.parent
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):  # somebody else was quicker; if it is a file, the next step says so
            os.mkdir(one, mode)
        sync_directory(one.parent)
    if missing and not path.is_dir():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    return missing[::-1]


# -- files that are written whole --------------------------------------------------------------------------------------


def temporary(path: Path) -> Path:
    """The name under which a file's new content is made."""
    return path.with_name(_TEMPORARY.format(path.name))


def replace(path: Path, data: bytes, mode: int = FILE_MODE) -> None:
    """Writes a file so that after a crash at any instant it holds the old content or the new.

    A link is replaced, not followed; raises `Unfit` where a device, a FIFO or a directory stands: they stay.
    """
    kind = _kind(path, follow=False)
    if kind not in (None, "a link"):
        raise Unfit(path, _unfit(kind))
    beside = temporary(path)
    try:
        _write_new(beside, data, mode)
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # what kept it from being written is what is told
            os.unlink(beside)
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    sync_directory(path.parent)


def create(path: Path, data: bytes, mode: int = FILE_MODE) -> None:
    """Writes a file that must not be there, durably; what could not be written whole is taken away again.

    Raises FileExistsError for whatever stands there, a link too.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _NO_WAIT, mode)
    try:
        try:
            write_all(descriptor, data)
            sync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(path.parent)
    except OSError:
        with contextlib.suppress(OSError):  # what kept it from being written is what is told
            os.unlink(path)
        raise


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = open_new(path, mode)
    try:
        write_all(descriptor, data)
        sync(descriptor)
    finally:
        os.close(descriptor)


def open_new(path: str | os.PathLike[str], mode: int = FILE_MODE) -> int:
    """A descriptor of a new, empty file under a temporary name; what stands there, a link too, is only a leftover.

    Of a link or a second name the name goes, not what it leads to.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _NO_WAIT
    try:
        return os.open(path, flags, mode)
    except FileExistsError:
        try:
            os.unlink(path)
        except (IsADirectoryError, PermissionError):
            if stat.S_ISDIR(os.lstat(path).st_mode):
                raise Unfit(path, f"{path} is a directory in the way of a temporary file: move it away") from None
            raise
        return os.open(path, flags, mode)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Writes everything at the descriptor's place, whatever the system takes at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_all_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Writes everything at an offset."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def truncate(path: Path, size: int) -> None:
    """Cuts a file to a length, durably."""
    os.truncate(path, size)
    sync_file(path)


def remove(path: Path) -> None:
    """Takes a name away, durably."""
    os.unlink(path)
    sync_directory(path.parent)


def set_aside(path: Path, ending: str = ".damaged") -> Path:
    """Renames a file or directory that cannot be used, durably, to the first free name; returns that."""
    number = 0
    while os.path.lexists(aside := path.with_name(f"{path.name}{ending}{f'.{number}' if number else ''}")):
        number += 1
    rename(path, aside)
    return aside


def rename(source: Path, target: Path) -> None:
    """Gives a file or directory another name on the same disk, durably; a file of that name is replaced."""
    os.replace(source, target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)


# -- files that somebody else may have placed --------------------------------------------------------------------------


def open_file(path: str | os.PathLike[str], flags: int, *, follow: bool = True, mode: int = FILE_MODE) -> int:
    """A descriptor of an ordinary file; raises `Unfit` for anything else, without waiting for a FIFO's other end.

    `follow`: whether a link to an ordinary file will do. Data files may lie on other disks, files of our own may not.
    """
    try:
        descriptor = os.open(path, flags | _NO_WAIT | (0 if follow else _NO_FOLLOW), mode)
    except OSError as error:
        kind = _kind(path, follow)
        if kind is None or error.errno in (errno.ENOENT, errno.EACCES, errno.EPERM):
            raise
        raise Unfit(path, _unfit(kind)) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise Unfit(path, _unfit(_KINDS.get(stat.S_IFMT(status.st_mode), "something else")))
    return descriptor


def try_lock(descriptor: int) -> bool:
    """Takes the lock of an open file for this process, until it closes the descriptor or ends; False: it is taken."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return False
    return True


def read_whole(path: str | os.PathLike[str], limit: int = SMALL_BYTES) -> bytes:
    """The content of an ordinary file of at most `limit` bytes; raises `Unfit` for a larger one or anything else."""
    descriptor = open_file(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        if size > limit:
            raise Unfit(path, f"it has {size} bytes, expected at most {limit}: it is another file than its name says")
        pieces, left = [], limit + 1
        while left and (piece := os.read(descriptor, min(left, 1 << 20))):
            pieces.append(piece)
            left -= len(piece)
        if not left:
            raise Unfit(path, f"it grows while it is read, beyond {limit} bytes")
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """What stands at a path, links followed: "a directory", "a file", "a FIFO" and so on; None for nothing."""
    try:
        return _KINDS.get(stat.S_IFMT(os.stat(path).st_mode), "something else")
    except OSError:
        return None


def _kind(path: str | os.PathLike[str], follow: bool) -> str | None:
    """What stands under a name that is no ordinary file; None for one that is, and for nothing."""
    try:
        status = os.stat(path) if follow else os.lstat(path)
    except OSError:
        return None
    return None if stat.S_ISREG(status.st_mode) else _KINDS.get(stat.S_IFMT(status.st_mode), "something else")


def _unfit(kind: str) -> str:
    hint = "which is not followed here: remove it" if kind == "a link" else "expected a file"
    return f"it is {kind}, {hint}"


# -- what errors mean --------------------------------------------------------------------------------------------------

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space, then run the same command again; what was written is kept",
    errno.EDQUOT: "your disk quota is used up: raise it, then run the same command again; what was written is kept",
    errno.ENOENT: "it is not there",
    errno.EACCES: "permission denied: the user who runs this needs write access to the file and its directory",
    errno.EPERM: "not permitted: the file belongs to another user or is protected",
    errno.EROFS: "the disk is mounted read-only: mount it writable, or choose another directory",
    errno.EIO: "the disk reports an input/output error: check its cable and health",
    errno.ENOTDIR: "a part of the path is a file, not a directory",
    errno.EISDIR: "it is a directory, expected a file",
    errno.EEXIST: "a file of that name is in the way of the directory",
    errno.ELOOP: "it is a link, which is not followed here, or links lead in a circle: remove it",
    errno.ENAMETOOLONG: "the path is too long",
    errno.EFBIG: "the file system or a limit of the process does not allow files this large",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
}


def reason(error: OSError) -> str:
    """What an error of the system means, and what to do; without a full stop."""
    return _ADVICE.get(error.errno or 0, error.strerror or str(error))


@contextlib.contextmanager
def explained(path: str | os.PathLike[str], deed: str) -> Iterator[None]:
    """Turns errors of the system into `EnvironmentFault`: what could not be done with which path, and what to do."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"Cannot {deed} {os.fspath(path)}: {reason(error)}.") from error
