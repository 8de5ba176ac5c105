"""One server a data directory: a lock that the kernel drops with its process, and says who holds it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from prover import durable

from .errors import DataError, EnvironmentFault, UsageError
from .text import escaped


class DirectoryLock:
    """A held lock file. Its content is the holder's process id and what it is."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path, what: str, wait_s: float = 0.0) -> DirectoryLock:
        """Takes the lock, waiting for a while if told to. Raises DataError that names the holder, EnvironmentFault."""
        descriptor = _opened(path)
        deadline = time.monotonic() + wait_s
        try:
            while not durable.try_lock(descriptor):
                if time.monotonic() >= deadline:
                    holder = escaped(os.pread(descriptor, 200, 0).decode(errors="replace").strip())
                    os.close(descriptor)
                    raise DataError(
                        f"{path.parent} is in use by {holder or 'another process'}. "
                        "Stop it, or choose another directory with --datadir."
                    )
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
