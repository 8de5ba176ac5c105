"""What the log of every service begins and ends with, so that a later reader knows what ran, with what, and why not.

At the start: version, machine, and every setting that is not at its default. At the end: how it came to it.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from .errors import exit_code, sentence
from .text import escaped
from .version import program_version


def begun(log: logging.Logger, program: str, settings: Mapping[str, object]) -> None:
    """Says what runs here. Secrets are the caller's to leave out."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    log.info(
        "smesher %s %s, process %d, %s on %s %s",
        program,
        program_version(),
        os.getpid(),
        python,
        platform.system(),
        platform.machine(),
    )
    told = ", ".join(f"{name} = {escaped(str(value))}" for name, value in settings.items())
    log.info("settings beside the defaults: %s", told or "none")


@contextmanager
def end(log: logging.Logger, program: str) -> Iterator[None]:
    """Says how it ended: when it was told to, or by which error."""
    try:
        yield
    except BaseException as error:
        code = exit_code(error)
        if code is None and not isinstance(error, (KeyboardInterrupt, SystemExit)):
            log.error("smesher %s ends: %s: %s", program, type(error).__name__, error)
        else:
            log.error("smesher %s ends: %s", program, "interrupted" if code is None else sentence(error))
        raise
    log.info("smesher %s has ended", program)
