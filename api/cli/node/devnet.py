"""`smesher devnet`: a network of several nodes and a PoET in this process, with an API of each node."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.cli import common
from api.cli.output import Output
from api.edge.errors import EXIT_DONE, UsageError

if TYPE_CHECKING:
    from api.node.devnet import Devnet

MOST_NODES = 50
"""More are a matter for `smesher simulate`."""
EPILOG = """\
Layers take two seconds, eight are an epoch; blocks come from the third epoch on. Without --data-folder everything is in
a folder that goes when the command ends; with it, a network of these nodes goes on with a new genesis only in an empty
one. Ctrl-C ends it.

  smesher devnet --nodes 4
  smesher devnet --layers 32 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.add_argument("--nodes", type=common.whole_number, default=4, metavar="N", help="how many (default 4)")
    parser.add_argument("--layers", type=common.whole_number, metavar="N", help="end when so many have begun")
    parser.add_argument("--data-folder", type=common.path, metavar="D", help="an empty folder, which is kept")
    parser.add_argument(
        "--first-port", type=common.whole_number, metavar="P", help="of the first node's API, and on upwards"
    )
    parser.add_argument(
        "--account", action="append", default=[], metavar="ADDRESS=SMIDGE", help="has coins at the genesis"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Runs the network until it is told to end, or so many layers have begun."""
    if not 1 <= arguments.nodes <= MOST_NODES:
        raise UsageError(f"--nodes is {arguments.nodes}, expected 1 to {MOST_NODES}.")
    if arguments.layers == 0:
        raise UsageError("--layers is 0, expected 1 or more: nothing would ever run.")
    first = arguments.first_port
    if first is not None and not 0 < first <= 65_536 - arguments.nodes:
        raise UsageError(f"--first-port is {first}, expected 1 to {65_536 - arguments.nodes}.")
    folder: Path | None = arguments.data_folder
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise UsageError(f"--data-folder is {folder}, which is not empty. Name a folder that is, or is not there.")
    accounts = dict(_account(text) for text in arguments.account)
    ports = () if first is None else range(first, first + arguments.nodes)
    place = folder or Path(tempfile.mkdtemp(prefix="smesher-devnet-"))
    logging.getLogger("poet").setLevel(logging.WARNING)
    try:
        from api.edge.loop import run_loop
        from api.node.devnet import Plan

        plan = Plan(place.resolve(), arguments.nodes, accounts, ports)
        return run_loop(lambda: _serve(plan, arguments.layers, output))
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)


def _account(text: str) -> tuple[str, int]:
    account, sign, amount = text.partition("=")
    if not sign or not amount.isdecimal() or int(amount) >= 1 << 64:
        raise UsageError(f"--account is {text}, expected an address and smidge such as stest1…=1000000000.")
    return account, int(amount)


async def _serve(plan: Any, layers: int | None, output: Output) -> int:
    from api.edge.listen import stop_signal
    from api.node.devnet import Devnet
    from api.node.serving import Services

    from .devnet_view import View

    stopping = stop_signal()
    devnet = Devnet(plan, Services)
    with output.busy("making PoST data, starting the nodes"):
        await devnet.start()
    ending = asyncio.create_task(devnet.ended())
    try:
        with View(devnet, output) as view:
            for layer in range(layers + 1) if layers is not None else iter(int, None):
                del layer
                if stopping.done() or ending.done():
                    break
    finally:
        await devnet.stop()
    return EXIT_DONE
