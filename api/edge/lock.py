"""One server a data directory: a lock that the kernel drops with its process, and says who holds it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from prover import durable

from .errors import DataError, EnvironmentFault, UsageError
from .text import escaped

ADVICE = "Stop it, or choose another directory with --datadir."

LOCKS = Path("/proc/locks")
"""Where Linux lists who holds which file; other systems have no such list."""


class DirectoryLock:
    """A held lock file. Its content is the holder's process id and what it is."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(
        cls, path: Path, what: str, wait_s: float = 0.0, *, advice: str = ADVICE, subject: str = ""
    ) -> DirectoryLock:
        """Takes the lock, waiting for a while if told to. Raises DataError that names the holder, EnvironmentFault.

        advice: what to do where somebody else has it; subject: what is in use then, if not the directory of the file.
        """
        descriptor = _opened(path)
        deadline = time.monotonic() + wait_s
        try:
            while not durable.try_lock(descriptor):
                if time.monotonic() >= deadline:
                    holder = _holder(descriptor)
                    os.close(descriptor)
                    raise DataError(f"{subject or path.parent} is in use by {holder}. {advice}")
                time.sleep(0.05)
        except OSError as error:
            os.close(descriptor)
            raise EnvironmentFault(f"{path} could not be locked: {error.strerror}.") from None
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{what}, process {os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise EnvironmentFault(f"{path} could not be written: {error.strerror}.") from None
        return cls(descriptor)

    def release(self) -> None:
        """Gives the lock back; the file stays."""
        os.close(self._descriptor)


def _opened(path: Path) -> int:
    """The lock file, made where there is none. Raises UsageError for what others have put in its place."""
    try:
        return durable.open_file(path, os.O_RDWR | os.O_CREAT, follow=False)
    except durable.Unfit as error:
        raise UsageError(f"{path}: {error}.") from None
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be opened: {error.strerror}.") from None


def _holder(descriptor: int) -> str:
    """Who holds the lock of an open file: what it wrote there, if it did, else what the system knows."""
    written = escaped(os.pread(descriptor, 200, 0).decode(errors="replace").strip())
    process = _holding_process(descriptor)
    if process is None or written.endswith(f"process {process}"):
        return written or "another process"
    return f"{_program(process)}process {process}"  # what is written there is of somebody before


def _holding_process(descriptor: int) -> int | None:
    """The process that the system says holds it; None where it says nothing, or it is out of our sight."""
    inode = os.fstat(descriptor).st_ino
    try:
        lines = LOCKS.read_text().splitlines()
    except OSError:
        return None  # no such list here
    for line in lines:
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5].endswith(f":{inode}") and words[4].isdigit():
            return int(words[4]) or None
    return None


def _program(process: int) -> str:
    try:
        return escaped(Path(f"/proc/{process}/comm").read_text().strip()) + ", "
    except OSError:
        return ""  # it has ended meanwhile, or is another user's
