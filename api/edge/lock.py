"""One server a data directory: a lock that the kernel drops with its process, and says who holds it."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from api.edge.errors import DataError, EnvironmentFault
from api.edge.logging import shown


class DirectoryLock:
    """A held lock file. Its content is the holder's process id and what it is."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path, what: str, wait_s: float = 0.0) -> DirectoryLock:
        """Takes the lock, waiting for a while if told to. Raises DataError that names the holder, EnvironmentFault."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise EnvironmentFault(
                f"{path} cannot be used as a lock: {error.strerror}. It has to be a file of this user, and no link."
            ) from None
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= deadline:
                    holder = shown(os.pread(descriptor, 200, 0).strip())
                    os.close(descriptor)
                    raise DataError(
                        f"{path.parent} is in use by {holder or 'another process'}. "
                        "Stop it, or choose another directory with --datadir."
                    ) from None
                time.sleep(0.05)
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
