"""Whether a process has a database of SQLite open, whatever lock file it was told to hold.

Whoever has a database with a log open holds a lock on one byte of the file `-shm` beside it. To ask for its holder
changes nothing. Where the system's answer cannot be read (it is not Linux on 64 bits), nobody is found.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

OPEN_BYTE = 128
"""Of the file: SQLite's mark that it is in use."""
_LOCK = struct.Struct("hhqqi4x")
"""Kind of lock, from where it counts, first byte, number of bytes, process."""


def holder_of(database: Path) -> int | None:
    """The process that has a database open; None where there is none. Raises OSError."""
    shared = database.with_name(f"{database.name}-shm")
    if not sys.platform.startswith("linux") or sys.maxsize < 1 << 32 or not shared.is_file():
        return None
    import fcntl

    with shared.open("rb") as file:
        asked = _LOCK.pack(fcntl.F_WRLCK, 0, OPEN_BYTE, 1, 0)
        kind, _, _, _, process = _LOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else int(process)
