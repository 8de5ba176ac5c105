"""`smesher identity`: makes the key of a smesher without making data, and tells the node id of a key.

The file is the one that `init` makes and that nodes read. Its secret part is never shown.
"""

from __future__ import annotations

import argparse
import stat
from pathlib import Path

from api.cli.output import Output
from api.cli.words import Word, add_words
from prover import durable
from prover.errors import EnvironmentFault, UsageError
from prover.post import identity
from prover.post.identity import Identity

MOST_BYTES = 4096
"""A key file has 128 digits, and a line end perhaps; what is longer is another file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of the command."""
    add_words(parser, WORDS)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Runs one word. Raises ProofError."""
    return WORDS[arguments.word].run(arguments, output)


def _add_new_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", type=Path, default=Path(identity.FILE_NAME), metavar="FILE",
        help=f"the file to write, which must not be there yet (default: {identity.FILE_NAME})",
    )  # fmt: skip


def _add_show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help=f"a key file, such as {identity.FILE_NAME}")


def new(arguments: argparse.Namespace, output: Output) -> int:
    """Makes a key and writes it, mode 0600, over no other file."""
    made, path = identity.generate(), arguments.file
    _write_new(path, made.encode())
    output.note(
        f"A new identity was made: {path}. Keep it secret, keep a copy, and copy it to the node's data/identities."
    )
    return _told(made, path, output)


def show(arguments: argparse.Namespace, output: Output) -> int:
    """Tells whose key a file holds."""
    return _told(identity.decode(_read(arguments.file), str(arguments.file)), arguments.file, output)


def _told(one: Identity, path: Path, output: Output) -> int:
    output.event("done", node_id=one.node_id.hex(), file=str(path))
    output.say(f"node id  {one.node_id.hex()}")
    return 0


def _write_new(path: Path, data: bytes) -> None:
    try:
        durable.create(path, data)
    except FileExistsError:
        raise UsageError(
            f"{path} is there already and is not overwritten: a lost key is lost data. Name another."
        ) from None
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be written: {error.strerror}.") from None


def _read(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path} is no file, expected a key file such as {path / identity.FILE_NAME}.")
        if status.st_size > MOST_BYTES:
            raise UsageError(f"{path} has {status.st_size} bytes, expected a key file of 128 hex digits.")
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}. A new key is made by: smesher identity new FILE") from None
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror}.") from None


WORDS = {
    "new": Word(_add_new_arguments, new, "make the key of a new smesher and tell its node id"),
    "show": Word(_add_show_arguments, show, "tell the node id of a key file"),
}
