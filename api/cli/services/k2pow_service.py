"""`smesher k2pow-service`: searches RandomX proofs of work for provers on other machines."""

from __future__ import annotations

import argparse
import logging

from api.cli import common, proofs
from api.cli.output import Output
from api.edge import logging as logs
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
        "--token-file",
        type=common.path,
        metavar="FILE",
        help="let those in who send the word in this file as a bearer token",
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
    parser.add_argument("-V", "--version", action="store_true", help="print the version and exit")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Serves until told to stop. Exit code 143 after SIGTERM, 130 after SIGINT."""
    from api.edge.listen import parse_address
    from api.edge.text import read_token
    from api.edge.threads import limited_threads
    from api.services.k2pow import app

    address = parse_address(arguments.bind_address, "--bind-address")
    threads = limited_threads(arguments.cores, "--cores")
    if arguments.cores > 255:
        raise UsageError(f"--cores is {arguments.cores}, expected 0 (all processors) to 255.")
    token = "" if arguments.token_file is None else read_token(arguments.token_file, "--token-file")
    config = app.Config(address, threads, arguments.randomx_mode, arguments.randomx_large_pages, token)

    log = logging.getLogger("k2pow-service")
    settings = {
        "bind-address": address,
        "threads": threads,
        "token": "asked for" if token else "none",
        "randomx-mode": arguments.randomx_mode or "fast",
        "randomx-large-pages": arguments.randomx_large_pages,
    }

    def ready(port: int) -> None:
        logs.begun(log, "k2pow-service", settings)
        output.event("serving", address=address.host, port=port, threads=threads)
        output.say(f"[bold green]serving[/]  {address.host} port {port}, {threads} threads")

    with logs.end(log, "k2pow-service"):
        return app.run(config, ready)
