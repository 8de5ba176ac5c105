"""`smesher k2pow-service`: searches RandomX proofs of work for provers on other machines."""

from __future__ import annotations

import argparse
from pathlib import Path

from api.cli import common, proofs
from api.cli.output import Output
from api.edge.errors import UsageError

DEFAULT_ADDRESS = "127.0.0.1:3000"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command; names and defaults are those of the reference's service."""
    parser.add_argument(
        "-b",
        "--bind-address",
        default=DEFAULT_ADDRESS,
        metavar="ADDRESS",
        help=f"where to listen (default {DEFAULT_ADDRESS}: this machine alone; or its address in your network)",
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="let those in who send the word in this file as a bearer token"
    )
    parser.add_argument(
        "--cores",
        type=common.whole_number,
        default=0,
        metavar="N",
        help="threads of the search, at most 255 (default 0: all processors)",
    )
    proofs.add_randomx_argument(parser, "fast")
    parser.add_argument("--randomx-large-pages", action="store_true", help="use large pages where the system has some")
    parser.add_argument("--version", action="store_true", help="print the version and exit")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Serves until told to stop. Exit code 143 after SIGTERM, 130 after SIGINT."""
    from api.cli.services.remote_k2pow import read_token
    from api.edge.listen import parse_address
    from api.services.k2pow import app
    from kernels.labels.cpu import usable_cores

    address = parse_address(arguments.bind_address, "--bind-address")
    if arguments.cores > 255:
        raise UsageError(f"--cores is {arguments.cores}, expected 0 (all processors) to 255.")
    threads = arguments.cores or usable_cores()
    token = read_token(arguments.token_file, "--token-file")
    config = app.Config(address, threads, arguments.randomx_mode, arguments.randomx_large_pages, token)

    def ready(port: int) -> None:
        output.event("serving", address=address.host, port=port, threads=threads)
        output.say(f"[bold green]serving[/]  {address.host} port {port}, {threads} threads")

    return app.run(config, ready)
