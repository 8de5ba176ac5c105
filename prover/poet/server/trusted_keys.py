"""The directory of trusted certifiers' keys: every file that ends in `.key`, at any depth.

Each holds the standard base64 of one key of 32 bytes; line breaks are skipped wherever they are, nothing else
is. One bad file fails the whole load, so that a reload never leaves half a set in force. Specified in protocol
02-poet, section 7.3.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

from protocol.poet.registration import CERTIFIER_KEY_SIZE
from prover.errors import DataError

SUFFIX = ".key"


def load_trusted_keys(directory: Path) -> tuple[bytes, ...]:
    """The keys below a directory, in the order of their paths; the path may also be one file.

    Raises DataError that begins with the reference's text and names the directory.
    """
    failed = f"reading trusted keys from dir: {directory}: "
    try:
        if not directory.is_dir():
            directory.stat()  # raises where there is nothing at all
            files = [directory] if directory.name.endswith(SUFFIX) else []
        else:
            files = sorted(
                Path(folder) / name
                for folder, _, names in os.walk(directory)
                for name in names
                if name.endswith(SUFFIX)
            )
        return tuple(_key(path.read_bytes()) for path in files)
    except ValueError as error:
        raise DataError(f"{failed}invalid public key: {error}") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{failed}lstat {error.filename or directory}: {reason}") from None


def _key(content: bytes) -> bytes:
    text = content.replace(b"\n", b"").replace(b"\r", b"")
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        # Go tells a text that stops in the middle of a group from one with a wrong character
        raise ValueError("unexpected EOF" if len(text) % 4 else "illegal base64 data") from None
    if len(key) != CERTIFIER_KEY_SIZE:
        raise ValueError("unexpected EOF" if len(key) < CERTIFIER_KEY_SIZE else "too many bytes")
    return key
