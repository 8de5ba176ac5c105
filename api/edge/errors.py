"""Errors of the top floor, each class with the exit code that a program ends with, and the codes of the floors below.

Messages are complete sentences that say what was found, what was expected and what to do, so that a program can
print them as they are. `exit_code` and `sentence` are what every command and service ends with: 0 done, 1 the answer
is no, 2 usage or input, 3 environment, 130 interrupted and resumable.
"""

from __future__ import annotations

import errno
from typing import ClassVar

EXIT_DONE, EXIT_NO, EXIT_USAGE, EXIT_ENVIRONMENT, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


class Failure(Exception):
    """Anything that keeps a program from doing what it was asked to."""

    exit_code: ClassVar[int] = EXIT_NO
    """The exit code of a program that ends with this error."""


class UsageError(Failure):
    """What was asked for conflicts with what is there, or makes no sense by itself."""

    exit_code: ClassVar[int] = EXIT_USAGE


class DataError(Failure):
    """The answer is no: data is damaged, refused or locked."""

    exit_code: ClassVar[int] = EXIT_NO


class EnvironmentFault(Failure):
    """The machine does not play along: disk full, permission missing, port taken, nobody answers."""

    exit_code: ClassVar[int] = EXIT_ENVIRONMENT


class Interrupted(Failure):
    """Someone asked to stop. What was done before is kept."""

    exit_code: ClassVar[int] = EXIT_INTERRUPTED


STARVED = ("can't start new thread", "failed to map segment", "annot allocate memory")
"""What Python, or a library that it loads, says when the system gives no more memory or threads."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when there is no room: disk, quota, largest file."""


def starved(error: BaseException) -> bool:
    """Whether the system gave no more memory or threads."""
    words = isinstance(error, (RuntimeError, ImportError)) and any(words in str(error) for words in STARVED)
    return words or isinstance(error, MemoryError)


def exit_code(error: BaseException) -> int | None:
    """The code that a program ends with; None for what is a mistake of ours."""
    if starved(error):  # first of all: what follows may load modules
        return EXIT_ENVIRONMENT
    if isinstance(error, Failure):
        return error.exit_code

    from kernels.devices.types import SelectionError
    from kernels.errors import KernelError
    from node.store.errors import StoreFault
    from protocol.errors import ProtocolError
    from prover.errors import ProofError

    if isinstance(error, (ProofError, StoreFault)):
        return error.exit_code
    if isinstance(error, (ProtocolError, SelectionError)):
        return EXIT_USAGE
    if isinstance(error, (KernelError, OSError)):
        return EXIT_ENVIRONMENT
    return None


def sentence(error: BaseException) -> str:
    """What a person is told of an error that has a code."""
    if starved(error):
        return (
            f"The system gives no more memory or threads ({type(error).__name__}: {error}). Stop other programs, or "
            "raise the limits of this one (ulimit -v, ulimit -u, the limits of its container)."
        )
    if isinstance(error, Failure):
        return str(error)

    from kernels.devices.types import SelectionError

    if isinstance(error, SelectionError):
        listed = "; ".join(
            f"{'-' if one.id is None else one.id}: {one.name} ({', '.join(filter(None, (one.pci, one.driver)))})"
            for one in error.devices
        )
        return f"{error}. Choose among: {listed} (`smesher providers` says what was passed over, and why)"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        advice = " Make room, or choose another place." if error.errno in FULL else ""
        return f"{where}{error.strerror or error}.{advice}"
    return str(error)
