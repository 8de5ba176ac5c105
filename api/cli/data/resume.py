"""`smesher resume D`: lets a job that `smesher pause D` put to rest go on."""

from __future__ import annotations

import argparse

from api.cli import common
from api.cli.data import pause
from api.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description = "Let a `smesher init` that was paused go on."
    parser.add_argument("data_dir", type=common.path, metavar="D", help="the data directory")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: it goes on; 1: nothing works on the directory, or it does not listen."""
    return pause.ask(arguments.data_dir, False, output)
