"""Questions to a person: secrets that are not shown, and a yes or no. Never to a pipe.

Where there is no terminal, the answers come from files, the environment or an option; what would need a question then
is a usage error that names that option.
"""

from __future__ import annotations

import argparse
import getpass
import os
import stat
import sys
from pathlib import Path

from api.cli import common
from api.edge.errors import UsageError
from api.edge.text import quoted, read_text, typed, without_marks
from api.wallet.secret import Secret

from .output import Output

PASSWORD_OPTION = "--password-file"
PASSWORD_VARIABLE = "SMESHER_WALLET_PASSWORD"


def has_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def add_password_argument(parser: argparse.ArgumentParser) -> None:
    """The option for a password; there is none for the password itself, since others can read arguments."""
    parser.add_argument(
        PASSWORD_OPTION,
        type=common.path,
        metavar="FILE",
        help=f"read the password from the first line of FILE; or set {PASSWORD_VARIABLE}; else it is asked for",
    )


def password(arguments: argparse.Namespace, output: Output, *, new: bool = False) -> Secret:
    """The password of a wallet; a new one is asked for twice. Raises UsageError, EnvironmentFault."""
    if arguments.password_file is not None:
        found = first_line(arguments.password_file, PASSWORD_OPTION)
        if _seen_by_others(arguments.password_file):
            output.note(
                f"Warning: other users can read {arguments.password_file}: chmod 600 {quoted(arguments.password_file)}"
            )
    elif PASSWORD_VARIABLE in os.environ:
        found = Secret(os.environ[PASSWORD_VARIABLE])
    elif not has_terminal():
        raise UsageError(
            f"The wallet's password is needed: give --password-file FILE or set {PASSWORD_VARIABLE} (there is no "
            "terminal to ask at)."
        )
    else:
        found = hidden("New password: " if new else "Password: ")
        if new and _as_typed(hidden("The same again: ")) != _as_typed(found):
            raise UsageError("The two passwords differ; nothing was written.")
    if new:
        found = _as_typed(found)
        if not found:
            output.note("Warning: the password is empty: whoever has the file has the coins")
        elif found.text() != found.text().strip():
            output.note("Warning: the password begins or ends with a blank, which belongs to it")
    return found


def _as_typed(secret: Secret) -> Secret:
    """A new password in the form that a keyboard gives: without marks that nobody sees, composed."""
    return Secret(without_marks(secret.text()))


def hidden(prompt: str) -> Secret:
    """A line that is not shown while it is typed."""
    return Secret(getpass.getpass(prompt, stream=sys.stderr))


def first_line(path: Path, what: str) -> Secret:
    """The first line of a small file, or of standard input for `-`, without its end or a mark before it.

    Raises UsageError, EnvironmentFault.
    """
    return Secret(read_text(path, what).split("\n", 1)[0])


def whole_text(path: Path, what: str) -> Secret:
    """The whole of a small file: a phrase may be written on several lines. Raises UsageError, EnvironmentFault."""
    return Secret(read_text(path, what))


def _seen_by_others(path: Path) -> bool:
    """Whether a file of secrets can be read by other users."""
    try:
        state = path.stat()
    except OSError:
        return False  # it was read a moment ago; only a warning depends on it
    return stat.S_ISREG(state.st_mode) and bool(state.st_mode & (stat.S_IRGRP | stat.S_IROTH))


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether the person agrees. `yes` is the option that answers beforehand. Raises UsageError without a terminal."""
    if yes:
        return True
    if not has_terminal():
        raise UsageError(f"{question} Nobody can be asked here: give --yes if you agree.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return typed(sys.stdin.readline()).lower() in ("y", "yes")
