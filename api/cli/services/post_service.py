"""`smesher post-service`: makes the proofs that a node asks for, in place of the network's own service.

The options are those of the reference's program, and so are the exit codes (1 where data or address cannot be
used; 143 after SIGTERM); what is ours is additional. Specified in protocol 01-post-tools, section 4.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Never

from api.cli.output import Output
from api.cli.settings import add_settings, given, told
from api.edge import logging as logs
from api.edge.errors import Failure
from api.services.post.flags import METAVARS, SETTINGS
from prover.errors import DataError, ProofError, UsageError

if TYPE_CHECKING:
    from api.services.post.app import App
    from api.services.post.job import Identity
    from api.services.post.options import Settings

EPILOG = """\
Several --dir serve several identities in one process: their proofs are made one after another and share RandomX.
With --operator-address, /status tells the state (JSON; words for a browser), /status.json everything, /metrics
figures for Prometheus. Exit codes: 0 the watched process is gone, 1 data or address cannot be used or no connection
in --max-retries, 2 usage, 3 memory or port, 130 and 143 stopped by SIGINT and SIGTERM.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    add_settings(parser, SETTINGS, METAVARS)
    parser.add_argument("-V", "--version", action="store_true", help="print the version and exit")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Serves until something ends it; see the codes above."""
    terminate = signal.signal(signal.SIGTERM, _terminated)
    try:
        return _run(arguments, output)
    finally:
        signal.signal(signal.SIGTERM, terminate)


def _terminated(number: int, frame: object) -> Never:
    """Before the service runs there is nothing to save."""
    raise SystemExit(128 + number)


def _run(arguments: argparse.Namespace, output: Output) -> int:
    log = set_up_logging(output)
    from api.services.k2pow.worker import RandomX
    from api.services.post import options
    from api.services.post.app import App

    found = given(arguments, SETTINGS)
    settings = options.read(found)
    identities = [read_identity(path, settings) for path in found["dir"]]
    check_distinct(identities)
    options.check_cores(settings.pinned_cores)
    asked = settings.randomx_mode if settings.full_randomx else "light"
    RandomX(asked, settings.threads, large_pages=settings.large_pages).check()
    # once it runs, a proof in light mode is better than none
    source = RandomX("light" if asked == "light" else None, settings.threads, large_pages=settings.large_pages)
    app = App(settings, identities, source.open)

    def ready(running: App) -> None:
        output.event("serving", address=settings.address.url, operator=running.operator_port)

    logs.begun(log, "post-service", told(found, SETTINGS))
    with logs.end(log, "post-service"):
        code = asyncio.run(app.serve(ready))
    if app.busy:
        # a thread that does not end (a disk that hangs) would keep the process; what it could save is saved
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def read_identity(path: Path, settings: Settings) -> Identity:
    """A data directory. Raises DataError: the reference ends with 1 whatever is wrong with it."""
    from api.cli.data import dataset
    from api.cli.data.prove import state_file
    from api.services.post.job import DataFiles, Identity

    try:
        data = dataset.open_data(path)
    except (Failure, ProofError) as error:
        raise DataError(str(error)) from None
    units = data.metadata.num_units
    if not settings.min_num_units <= units <= settings.max_num_units:
        raise DataError(
            f"{path} has {units} units, --min-num-units and --max-num-units allow {settings.min_num_units} to "
            f"{settings.max_num_units}."
        )
    if data.record is not None and data.record.scrypt_n != settings.scrypt_n:
        raise UsageError(
            f"{path} was made with scrypt N = {data.record.scrypt_n}, -n says {settings.scrypt_n}: no proof would hold."
        )
    return Identity(DataFiles(data.storage.path), data.metadata, data.layout, state_file(data))


def check_distinct(identities: list[Identity]) -> None:
    """Raises UsageError where two directories hold the same identity: a node takes one service for each."""
    seen: dict[bytes, Path] = {}
    for identity in identities:
        node_id, path = identity.metadata.node_id, identity.storage.path
        if node_id in seen:
            raise UsageError(
                f"{seen[node_id]} and {path} both hold identity {node_id.hex()}; a node takes one service for each."
            )
        seen[node_id] = path


class JsonHandler(logging.Handler):
    """Log lines as events on standard output."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        """logging: one record."""
        self._output.event(
            "log",
            time=time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(record.created)),
            level=record.levelname.lower(),
            message=record.getMessage(),
        )


def set_up_logging(output: Output) -> logging.Logger:
    """To standard error, as the node that starts a service expects; or as events."""
    handler: logging.Handler = JsonHandler(output) if output.json else logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("post-service", "k2pow-service"):  # the second is what prepares RandomX
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO)
    return logging.getLogger("post-service")
