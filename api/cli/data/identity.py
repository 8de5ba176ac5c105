"""`smesher identity`: makes the key of a smesher without making data, and tells the node id of a key.

The file is the one that `init` makes and that nodes read. Its secret part is never shown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from api.cli import common
from api.cli.data.owners import MAX_KEY_FILE
from api.cli.new_file import write_new
from api.cli.output import Output, command
from api.cli.words import Word, add_words
from api.edge.errors import EnvironmentFault, UsageError
from api.edge.text import read_file
from prover.post import identity
from prover.post.identity import Identity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of the command."""
    add_words(parser, WORDS)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Runs one word. Raises ProofError."""
    return WORDS[arguments.word].run(arguments, output)


def _add_new_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", type=common.path, default=Path(identity.FILE_NAME), metavar="FILE",
        help=f"the file to write, which must not be there yet (default: {identity.FILE_NAME})",
    )  # fmt: skip


def _add_show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=common.path, metavar="FILE", help=f"a key file, such as {identity.FILE_NAME}")


def new(arguments: argparse.Namespace, output: Output) -> int:
    """Makes a key and writes it, mode 0600, over no other file."""
    made, path = identity.generate(), arguments.file
    if not path.parent.is_dir():
        raise EnvironmentFault(f"{path} cannot be written: there is no directory {path.parent}.")
    write_new(path, made.encode().decode("ascii"), "a lost key is lost data; name another file")
    output.note(
        f"A new identity was made: {path}. Keep it secret, keep a copy, and copy it to the node's data/identities."
    )
    return _told(made, path, output)


def show(arguments: argparse.Namespace, output: Output) -> int:
    """Tells whose key a file holds."""
    path: Path = arguments.file
    if not path.exists():
        raise UsageError(f"There is no file {path}. A new key is made by: {command('identity', 'new', path)}")
    return _told(identity.decode(read_file(path, "The key file", MAX_KEY_FILE), str(path)), path, output)


def _told(one: Identity, path: Path, output: Output) -> int:
    output.event("done", node_id=one.node_id.hex(), file=str(path))
    output.say(f"node id  {one.node_id.hex()}")
    return 0


WORDS = {
    "new": Word(_add_new_arguments, new, "make the key of a new smesher and tell its node id"),
    "show": Word(_add_show_arguments, show, "tell the node id of a key file"),
}
