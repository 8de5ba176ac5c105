"""Files that must not be there yet and that nobody else may read: wallets, keys, descriptions.

A file is written under another name first, so that a cut leaves no half of it, and put in place by a link, which
refuses where a file is already.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from api.edge.errors import EnvironmentFault, UsageError
from prover import durable

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems without links answer."""


def write_new(path: Path, text: str, advice: str = "choose another name with --out") -> None:
    """Write a file that must not exist yet, mode 0600. Raises UsageError with the advice, EnvironmentFault."""
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    try:
        durable.make_directory(path.parent)
        try:
            durable.create(temporary, text.encode())
            _put(temporary, path, advice)
        finally:
            temporary.unlink(missing_ok=True)
        durable.sync_directory(path.parent)
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be written: {error.strerror}. Nothing is left of it.") from None


def _put(temporary: Path, path: Path, advice: str) -> None:
    """Gives a written file its name, if nobody has it."""
    try:
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # the file system knows no links (FAT, exFAT): the name is taken first, then filled in one step
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            os.replace(temporary, path)
    except FileExistsError:
        raise UsageError(f"{path} exists already and is not overwritten; {advice}.") from None
