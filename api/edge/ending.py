"""How the process ends: as Python does, or at once.

A node that has stopped has everything on disk and has told every client; to take apart what it was made of would take
longer than to stop it. Only the program itself leaves so: whoever runs a command in a process of their own goes on.
"""

from __future__ import annotations

import contextlib
import os
import sys

_is_at_once = False


def want_at_once() -> None:
    """Nothing is left to do when the command has ended."""
    global _is_at_once
    _is_at_once = True


def leave(code: int) -> None:
    """End the process with an exit code, where that is wanted; else do nothing."""
    if _is_at_once:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # whoever read it has gone
                stream.flush()
        os._exit(code)
