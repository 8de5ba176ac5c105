"""`smesher merge-nodes`: the identities of one node join those of another, with what they have signed."""

from __future__ import annotations

import argparse

from api.cli import common
from api.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two directories."""
    parser.add_argument("source", type=common.path, metavar="FROM", help="data directory whose identities are added")
    parser.add_argument("target", type=common.path, metavar="TO", help="data directory that gets them; it may be empty")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: added; 1: they cannot be joined; 2: no such directories; 3: it cannot be written."""
    from api.node import merging  # loads much; help needs none of it

    added = merging.merge(arguments.source, arguments.target)
    output.event("done", identities=added.identities, rows=added.rows, to=str(arguments.target))
    for name, node_id in added.identities.items():
        output.say(f"added  {name}, node id {node_id}")
    output.say(
        f"[bold green]done[/]  {len(added.identities)} identities and {added.rows:,} rows are in {arguments.target}"
    )
    output.say(
        f"Never start a node on {arguments.source} again: an identity that works in two places contradicts itself, "
        "and is cancelled for ever. Delete it once the other node runs."
    )
    return 0
