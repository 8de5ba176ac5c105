"""`smesher pause D` lets the program that works on D rest; `smesher resume D` (see `resume`) lets it go on.

Both send a signal to the process that holds the directory's lock, and wait until a marker file in the directory
says that it was understood. Specified in protocol 01-post-tools, section 8.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from api.cli import common
from api.cli.output import Output, command
from api.edge.errors import DataError, EnvironmentFault
from prover import durable
from prover.post.directory import LOCK_NAME, Storage

MARKER_NAME = "smesher.paused"
"""Is in the directory while the work on it rests."""

ANSWER_SECONDS = 5.0
LOOK_SECONDS = 0.02


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description = "Let a running `smesher init` rest: devices end their batches, then wait for `smesher resume`."
    parser.add_argument("data_dir", type=common.path, metavar="D", help="the data directory")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: it rests; 1: nothing works on the directory, or it does not listen."""
    return ask(arguments.data_dir, True, output)


def ask(path: Path, paused: bool, output: Output) -> int:
    """Tells the process that holds a directory to rest or to go on, and waits until it has understood.

    Raises UsageError without such a directory, DataError when nobody works on it or does not listen,
    EnvironmentFault when the system has no such signals or does not allow to send one.
    """
    common.existing_directory(path)
    if not hasattr(signal, "SIGUSR1"):
        raise EnvironmentFault("This system has no signals for programs: stop the program with Ctrl-C instead.")
    process = holder(path)
    if process is None:
        raise DataError(f"Nothing works on {path}: there is nothing to {'pause' if paused else 'resume'}.")
    marker = path / MARKER_NAME
    try:
        os.kill(process, signal.SIGUSR1 if paused else signal.SIGUSR2)
    except ProcessLookupError:
        raise DataError(f"Process {process}, which worked on {path}, has ended.") from None
    except PermissionError:
        raise EnvironmentFault(f"Process {process}, which works on {path}, belongs to another user.") from None
    until = time.monotonic() + ANSWER_SECONDS
    while marker.exists() != paused:
        if time.monotonic() > until:
            raise DataError(
                f"Process {process}, which works on {path}, did not answer within {ANSWER_SECONDS:.0f} s: only the "
                "computing of `smesher init` can rest. Try again later, or stop it with Ctrl-C and run it again."
            )
        time.sleep(LOOK_SECONDS)
    output.event("paused" if paused else "resumed", data_dir=str(path), process=process)
    if paused:
        output.say(f"process {process} rests; next: {command('resume', path)}")
    else:
        output.say(f"process {process} goes on with {path}")
    return 0


def holder(path: Path) -> int | None:
    """The process that holds a directory's lock; None when it is free."""
    try:
        descriptor = durable.open_file(path / LOCK_NAME, os.O_RDWR, follow=False)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise EnvironmentFault(f"{path / LOCK_NAME} belongs to another user.") from None
    try:
        if durable.try_lock(descriptor):
            return None
        until = time.monotonic() + ANSWER_SECONDS
        while not (text := os.pread(descriptor, 32, 0).strip()) and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)  # it has the lock and is about to write who it is
        return int(text) if len(text) < 12 and text.isdigit() else None
    finally:
        os.close(descriptor)


def listener(storage: Storage, pause: Callable[[], None], resume: Callable[[], None]) -> Callable[[bool], None]:
    """What a running job does when it is told to rest (True) or to go on (False): it, and then the marker."""
    forget(storage)

    def change(rest: bool) -> None:
        if rest:
            pause()
            with contextlib.suppress(OSError):  # the one who asked is not answered, but gets what was asked for
                (storage.path / MARKER_NAME).write_text(f"{os.getpid()}\n")
        else:
            resume()
            forget(storage)

    return change


def forget(storage: Storage) -> None:
    """Takes the marker away, also one that a killed program has left."""
    with contextlib.suppress(OSError):  # a directory that cannot be written says so elsewhere
        (storage.path / MARKER_NAME).unlink(missing_ok=True)
