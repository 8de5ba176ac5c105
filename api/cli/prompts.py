"""Questions to a person: secrets that are not shown, and a yes or no. Never to a pipe.

Where there is no terminal, the answers come from files, the environment or an option; what would need a question then
is a usage error that names that option.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path

from api.wallet.secret import Secret
from prover.errors import EnvironmentFault, UsageError

from .output import Output

PASSWORD_VARIABLE = "SMESHER_WALLET_PASSWORD"


def has_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def add_password_argument(parser: argparse.ArgumentParser) -> None:
    """The option for a password; there is none for the password itself, since others can read arguments."""
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help=f"read the password from the first line of FILE; or set {PASSWORD_VARIABLE}; else it is asked for",
    )


def password(arguments: argparse.Namespace, output: Output, *, new: bool = False) -> Secret:
    """The password of a wallet; a new one is asked for twice. Raises UsageError, EnvironmentFault."""
    if arguments.password_file is not None:
        found = first_line(arguments.password_file)
    elif PASSWORD_VARIABLE in os.environ:
        found = Secret(os.environ[PASSWORD_VARIABLE])
    elif not has_terminal():
        raise UsageError(
            f"The wallet's password is needed: give --password-file FILE or set {PASSWORD_VARIABLE} (there is no "
            "terminal to ask at)."
        )
    else:
        found = hidden("New password: " if new else "Password: ")
        if new and hidden("The same again: ") != found:
            raise UsageError("The two passwords differ; nothing was written.")
    if new and not found:
        output.note("Warning: the password is empty: whoever has the file has the coins")
    return found


def hidden(prompt: str) -> Secret:
    """A line that is not shown while it is typed."""
    return Secret(getpass.getpass(prompt, stream=sys.stderr))


def first_line(path: Path) -> Secret:
    """The first line of a file, or of standard input for `-`, without its end. Raises UsageError, EnvironmentFault."""
    try:
        data = sys.stdin.buffer.readline() if str(path) == "-" else path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.") from None
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror}.") from None
    line = data.split(b"\n", 1)[0].removesuffix(b"\r")
    try:
        line.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no UTF-8 text.") from None
    return Secret(line)


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether the person agrees. `yes` is the option that answers beforehand. Raises UsageError without a terminal."""
    if yes:
        return True
    if not has_terminal():
        raise UsageError(f"{question} Nobody can be asked here: give --yes if you agree.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
