"""Where a person wants data: what is no directory, or holds no file so large, is refused before anything begins."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from prover import durable
from prover.errors import UsageError
from prover.post.directory import nearest

FAT_FILE = (1 << 32) - 1
"""Bytes of a file on FAT32 at most."""

_FAT = ("vfat", "msdos", "fat")
_MOUNTS = Path("/proc/self/mountinfo")


def check_new(place: Path, option: str) -> None:
    """Raises UsageError when something other than a directory stands at the path, or it looks like a list misspelt."""
    kind = durable.kind_of(place)
    if kind is not None and kind != "a directory":
        raise UsageError(f"{option} {place} is {kind}, expected a directory.")
    if kind is None:
        _check_list(place, option)


def _check_list(place: Path, option: str) -> None:
    """A path that is not there and was meant for a TOML list would become a directory with an identity of its own."""
    lists = [one.name for one in place.parent.glob("*.toml")] if place.parent.is_dir() else []
    near = difflib.get_close_matches(place.name, lists, n=1, cutoff=0.75)
    hint = f" Did you mean {place.with_name(near[0])}?" if near else ""
    if place.suffix == ".toml":
        raise UsageError(
            f"{option} {place}: there is no such list of directories.{hint} A data directory of that name "
            "has to be made "
            "with mkdir first."
        )
    if near and difflib.get_close_matches(place.suffix, [".toml"], cutoff=0.7):
        raise UsageError(
            f"{option} {place} is not there.{hint} A data directory of that name has to be made with mkdir first."
        )


def check_file_size(place: Path, size_bytes: int) -> None:
    """Raises UsageError when the file system of a directory, which need not be there yet, holds no file so large."""
    if size_bytes > FAT_FILE and file_system_of(place) in _FAT:
        raise UsageError(
            f"Data files of {size_bytes} bytes do not fit: {place} is on a FAT file system, which holds "
            "files of at most "
            f"{FAT_FILE} bytes. Choose --max-file-size {1 << 31}, or another disk."
        )


def file_system_of(place: Path) -> str | None:
    """The type of the file system that a path lies on, such as "ext4"; None where the system does not say."""
    device = os.stat(nearest(place.absolute())).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) > 2 and fields[2] == wanted and after:
            return after.split()[0]
    return None
