"""`smesher migrate`: from an original node to this one, and back.

Each way the data of the other program is read, and new data is made for this one; nothing is there before all of it is.
Neither goes on while a node of either kind runs on the data.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from api.cli import common
from api.cli.output import Output
from api.cli.words import Word, add_words

if TYPE_CHECKING:
    from api.node.original.directory import Original

LABELS = "postdata_metadata.json"
"""The file by which a directory is known that holds a smesher's labels."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of the command."""
    add_words(parser, WORDS)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """The word's exit code."""
    return WORDS[arguments.word].run(arguments, output)


class Steps:
    """`Watch` of `api.node.original.take_over`, on the screen."""

    def __init__(self, output: Output) -> None:
        self._output = output

    @contextmanager
    def step(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """As Watch says."""
        with self._output.progress(what, total, unit="rows") as bar:
            yield bar.add


def _network_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        type=common.path,
        metavar="FILE",
        help="the configuration file of the original node; needed for a network that is not public",
    )
    parser.add_argument(
        "--filelock", metavar="FILE", help="its lock file (default: main.filelock of its configuration)"
    )


def _from_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        type=common.path,
        metavar="DIR|CONFIG",
        help="the data directory of an original node, or the configuration file that names it; it stays as it is",
    )
    parser.add_argument(
        "-d", "--data-folder", type=common.path, required=True, metavar="OURS", help="a directory that is not there yet"
    )
    _network_arguments(parser)


def _from(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: the data is there; 1: it is damaged, in use, of another release; 2: usage; 3: environment."""
    from api.node.data_directory import absolute  # all of this loads much; help needs none of it
    from api.node.original import directory
    from api.node.original.take_over import take_over

    original = directory.find(arguments.source, arguments.config, arguments.filelock)
    ours = absolute(str(arguments.data_folder))
    found = take_over(original, ours, Steps(output))
    identities = {name: node_id.hex() for name, node_id in found.identities.items()}
    output.event(
        "done",
        path=str(ours),
        rows=sum(found.rows.values()),
        tables=found.rows,
        identities=identities,
        signed=found.signed,
        carried=list(found.carried),
    )
    output.say(f"[bold green]done[/]  {sum(found.rows.values()):,} rows of {original.path} are in {ours}")
    output.facts(
        [
            *((name, f"identity {node_id}") for name, node_id in identities.items()),
            ("signed", f"{found.signed:,} own messages are noted: activations, ballots, words for certificates"),
        ]
    )
    output.note(
        f"Do not start the original on {original.path} any more: two nodes with one key contradict each other, which "
        "cancels it for ever. What its keys have said in hare and for a beacon is in no database: this node signs "
        "nothing for a layer or a beacon that began before it is synced."
    )
    output.next(*_start(original, ours))
    return 0


def _start(original: Original, ours: Path) -> list[object]:
    """How our node is started on the data, with the labels where they are."""
    from api.node.data_directory import absolute

    words: list[object] = ["node"]
    if original.config_file is not None:
        words += ["--config", original.config_file]
    elif original.config.preset:
        words += ["--preset", original.config.preset]
    words += ["--data-folder", ours]
    labels = absolute(original.config.smeshing.opts.datadir)
    return [*words, "--smeshing-opts-datadir", labels] if (labels / LABELS).is_file() else words


def _to_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ours", type=common.path, metavar="OURS", help="the data directory of a node that is stopped")
    parser.add_argument(
        "dir",
        type=common.path,
        metavar="DIR",
        help="the data directory of the original: what databases it has go to a backup within it",
    )
    _network_arguments(parser)


def _to(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: the data is there; 1: damaged, in use, or something is signed that is not published yet; 2: usage;
    3: environment."""
    from api.node.data_directory import DataDirectory, absolute  # all of this loads much; help needs none of it
    from api.node.original import directory
    from api.node.original.hand_back import hand_back
    from protocol.numbers.time import Time

    data = DataDirectory(absolute(str(arguments.ours)))
    original = directory.to_be(arguments.dir, data.path, arguments.config, arguments.filelock)
    found = hand_back(data, original, time.time_ns(), Steps(output))
    earliest = None if found.earliest_ns is None else str(Time.of(found.earliest_ns))
    output.event(
        "done",
        path=str(original.path),
        rows=found.rows,
        backup=None if found.backup is None else str(found.backup),
        earliest=earliest,
    )
    output.say(f"[bold green]done[/]  {sum(found.rows.values()):,} rows of {data.path} are in {original.path}")
    if found.backup is not None:
        output.facts([("backup", found.backup)])
    output.note(
        f"Do not start smesher on {data.path} any more, unless its data comes from the original again: two nodes with "
        "one key contradict each other."
        + (f" Start the original at {earliest} or later: until then this node has signed." if earliest else "")
    )
    return 0


WORDS = {
    "from-go": Word(_from_arguments, _from, "make this node's data of that of an original node, which stays as it is"),
    "to-go": Word(_to_arguments, _to, "make an original node's databases of this node's data"),
}
