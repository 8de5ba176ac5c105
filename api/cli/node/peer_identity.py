"""`smesher gen-p2p-identity`: the key by which peers know a node, made ahead of its first start."""

from __future__ import annotations

import argparse

from api.cli import common
from api.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The directory."""
    parser.add_argument("dir", type=common.path, metavar="DIR", help="where p2p.key is: p2p in a node's data directory")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: the key is there, and its id was told; 1: it is damaged; 3: it cannot be written."""
    from api.node import peer_key  # loads cryptography; help needs none of it

    key, is_new = peer_key.load_or_make(arguments.dir)
    if is_new:
        output.note(f"A new key was made: {arguments.dir / peer_key.FILE_NAME}")
    output.event("done", id=key.text, made=is_new)
    output.say(key.text)
    return 0
