"""What a merge reads and does on disk, one step each: directories as found, temporary names, copies, flushes.

The order of the steps, and so what a kill between two of them leaves, is decided in `merge`. Specified in
protocol 01-post-tools, section 3.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from io import FileIO
from pathlib import Path

from prover import durable
from prover.errors import DataError, UsageError
from prover.post import identity as identity_file
from prover.post import metadata as metadata_file
from prover.post import record as record_file
from prover.post.directory import Storage
from prover.post.layout import file_number
from prover.post.merge.types import DataFile, Directory, FilePlan

BEGUN_NAME = ".merge.json"
"""In a destination without metadata: the five fields of the merge that was begun there."""

TEMPORARY = re.compile(r"\.merge\.([0-9]+)(?:\.[0-9a-f]{8})?\.new")
"""Names of files in the making. No program takes them for data."""

READ_BYTES = 4 << 20

_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES}
_CANNOT_COPY_INSIDE = {
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EBADF,
    errno.ETXTBSY,
}


def check_places(sources: Sequence[Path], into: Path) -> None:
    """Raises UsageError when a path is no directory, or two are the same."""
    for source in sources:
        if not source.exists():
            raise UsageError(f"{source} does not exist; expected a data directory.")
        if not source.is_dir():
            raise UsageError(f"{source} is not a directory; expected a data directory.")
    if into.exists() and not into.is_dir():
        raise UsageError(f"--into {into} is not a directory; expected a data directory, or a name for a new one.")
    for number, source in enumerate(sources):
        if into.exists() and source.samefile(into):
            raise UsageError(
                f"{source} is both a source and the destination (--into {into}). Leave it out of the sources: what the "
                "destination holds is kept and takes part."
            )
        for other in sources[:number]:
            if source.samefile(other):
                raise UsageError(f"{other} and {source} are the same directory; name each source once.")


def read_directory(place: Storage, roots: Sequence[tuple[str, int]], into: Path) -> Directory:
    """What stands in a directory. Raises MetadataError, DataError, UsageError or EnvironmentFault."""
    path = str(place.path)
    text = place.read_small(metadata_file.FILE_NAME)
    record = place.read_small(record_file.FILE_NAME)
    begun = place.read_small(BEGUN_NAME)
    key = place.path / identity_file.FILE_NAME
    if key.is_symlink() and not key.exists():
        raise UsageError(f"{key} is a link that leads nowhere. Mount what it leads to, or remove it.")
    with durable.explained(place.path, "read the directory"):
        files = [
            _read_file(entry, number, roots, into)
            for entry in os.scandir(place.path)
            if (number := file_number(entry.name)) is not None
        ]
        device = place.path.stat().st_dev
    return Directory(
        path=path,
        device=device,
        files={file.number: file for file in sorted(files, key=lambda file: file.number)},
        metadata=None if text is None else metadata_file.decode(text, f"{path}/{metadata_file.FILE_NAME}"),
        record=None if record is None else record_file.decode(record, f"{path}/{record_file.FILE_NAME}"),
        identity=place.read_small(identity_file.FILE_NAME),
        begun=None if begun is None else metadata_file.decode(begun, f"{path}/{BEGUN_NAME}"),
    )


def _read_file(entry: os.DirEntry[str], number: int, roots: Sequence[tuple[str, int]], into: Path) -> DataFile:
    target = os.path.realpath(entry.path)
    is_link = entry.is_symlink()
    try:
        status = os.stat(entry.path)
    except FileNotFoundError:
        parent = os.path.dirname(target)
        device = os.stat(parent).st_dev if os.path.isdir(parent) else -1
        inside = _is_inside(target, device, roots, into)
        return DataFile(number, 0, entry.path, target, device, 0, is_link, is_link and inside, there=False)
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{entry.path} is not a file, expected a data file. Move it away.")
    inside = is_link and _is_inside(target, status.st_dev, roots, into)
    return DataFile(number, status.st_size, entry.path, target, status.st_dev, status.st_ino, is_link, inside)


def _is_inside(target: str, device: int, roots: Iterable[tuple[str, int]], into: Path) -> bool:
    if os.path.dirname(target) == str(into):
        return False  # the destination may lie in a source
    return any(device == disk and Path(target).is_relative_to(root) for root, disk in roots)


def temporary_name(number: str, place: Path, into: Path) -> str:
    if place == into:
        return f".merge.{number}.new"
    # other destinations may have links into the same directory
    return f".merge.{number}.{hashlib.sha256(os.fsencode(into)).hexdigest()[:8]}.new"


def temporary(one: FilePlan, into: Path) -> str:
    place = Path(one.final).parent
    return str(place / temporary_name(str(one.number), place, into))


def tried(deed: Callable[[str, str], None], source: str, destination: str) -> bool:
    """Whether the file could be linked or renamed; False where only copying helps."""
    try:
        deed(source, destination)
    except OSError as error:
        if error.errno in _CANNOT_LINK:
            return False
        raise
    return True


def copy_some(reading: int, writing: int, count: int, inside: bool) -> tuple[int, bool]:
    """Copies at most `count` bytes, inside the kernel while that works; returns how many, and whether it does."""
    if inside and hasattr(os, "copy_file_range"):
        try:
            copied = os.copy_file_range(reading, writing, count)
            if copied:
                return copied, True
        except OSError as error:
            if error.errno not in _CANNOT_COPY_INSIDE:
                raise
    data = os.read(reading, min(count, READ_BYTES))
    durable.write_all(writing, data)
    return len(data), False


def read_exactly(file: FileIO, size: int) -> bytes:
    pieces = []
    while size and (piece := file.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def first_difference(left: bytes, right: bytes) -> int:
    low, high = 0, min(len(left), len(right))
    if left[:high] == right[:high]:
        return high
    while high - low > 1:  # the first difference is in low … high-1
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low


def unlink(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True
