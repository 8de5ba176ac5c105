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
from api.edge.text import shown

if TYPE_CHECKING:
    from api.node.devnet import Devnet, Plan

MOST_NODES = 50
"""More are a matter for `smesher simulate`."""
EPILOG = """\
Layers take two seconds, eight are an epoch; blocks come from the third epoch on. Without --data-folder everything is in
a folder that goes when the command ends. Ctrl-C ends it.

  smesher devnet --nodes 4
  smesher devnet --layers 32 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.add_argument("--nodes", type=common.whole_number, default=4, metavar="N", help="how many (default 4)")
    parser.add_argument("--layers", type=common.whole_number, metavar="N", help="end when layer N begins")
    parser.add_argument("--data-folder", type=common.path, metavar="D", help="an empty folder, which is kept")
    parser.add_argument(
        "--first-port", type=common.whole_number, metavar="P", help="of the first node's API, and on upwards"
    )
    parser.add_argument(
        "--account", action="append", default=[], metavar="ADDRESS=SMIDGE", help="has coins from the beginning"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Runs the network until it is told to end, or a layer begins."""
    folder: Path | None = arguments.data_folder
    _check(arguments, folder)
    first = arguments.first_port
    accounts = dict(_account(text) for text in arguments.account)
    logging.getLogger().addHandler(logging.NullHandler())  # what nodes tell is in the view; errors end the command
    place = folder or Path(tempfile.mkdtemp(prefix="smesher-devnet-"))
    try:
        from api.edge.loop import run_loop
        from api.node.devnet import Plan

        ports = () if first is None else range(first, first + arguments.nodes)
        plan = Plan(place.resolve(), arguments.nodes, accounts, ports)
        return run_loop(lambda: _serve(plan, arguments.layers, output))
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)


def _check(arguments: argparse.Namespace, folder: Path | None) -> None:
    """Raises UsageError."""
    if not 1 <= arguments.nodes <= MOST_NODES:
        raise UsageError(f"--nodes is {arguments.nodes}, expected 1 to {MOST_NODES}.")
    if arguments.layers == 0:
        raise UsageError("--layers is 0, expected 1 or more: nothing would ever run.")
    first = arguments.first_port
    if first is not None and not 0 < first <= 65_536 - arguments.nodes:
        raise UsageError(f"--first-port is {first}, expected 1 to {65_536 - arguments.nodes}.")
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--data-folder is {folder}, which is no empty folder. Name one, or one that is not there.")


def _account(text: str) -> tuple[str, int]:
    account, sign, amount = text.partition("=")
    if not sign or not amount.isascii() or not amount.isdecimal() or int(amount) >= 1 << 64:
        raise UsageError(f"--account is {shown(text)}, expected an address and smidge, such as stest1…=1000000000.")
    return account, int(amount)


async def _serve(plan: Plan, layers: int | None, output: Output) -> int:
    from api.edge.listen import stop_signal
    from api.node.devnet import Devnet
    from api.node.serving import Services

    stopping = stop_signal()
    devnet = Devnet(plan, Services)
    with output.busy("making PoST data and starting the nodes"):
        await devnet.start()
    showing = asyncio.create_task(_show(devnet, layers, output))
    ending = asyncio.create_task(devnet.ended())
    waited: list[asyncio.Future[Any]] = [stopping, showing, ending]
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await devnet.stop()
    for task in (showing, ending):
        if not task.done():
            task.cancel()
        elif error := task.exception() or (task.result() if task is ending else None):
            raise error
    return EXIT_DONE


async def _show(devnet: Devnet, layers: int | None, output: Output) -> None:
    """Tells of every layer when it is half over, until the last one begins."""
    from .devnet_view import View

    time = devnet.nodes[0].parameters.time
    with View(devnet, output) as view:
        layer = 0
        while layers is None or layer < layers:
            moment = time.start_ns(layer) + time.layer_duration_ns // 2
            await asyncio.sleep(max(0, moment - devnet.clock.now()) / 1e9)
            view.layer(layer)
            layer += 1
        await asyncio.sleep(max(0, time.start_ns(layers) - devnet.clock.now()) / 1e9)
