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

from api.cli import common
from api.cli.output import Output
from api.cli.services import remote_k2pow
from protocol.params.post import MAINNET
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
    from api.cli.main import program_version

    parser.epilog = EPILOG
    number = common.whole_number
    parser.add_argument(
        "-d", "--dir", type=Path, action="append", required=True, metavar="D", help="data directory; repeatable"
    )
    parser.add_argument("-a", "--address", required=True, metavar="URL", help="the node's PoST listener")
    parser.add_argument("--reconnect-interval-s", type=number, default=5, metavar="S", help="seconds (default 5)")
    parser.add_argument(
        "--max-retries", type=number, metavar="N", help="attempts to connect again before giving up (default: no end)"
    )
    parser.add_argument(
        "--version", action="version", version=f"smesher {program_version()}", help="print the version and exit"
    )
    parser.add_argument("--watch-pid", type=number, metavar="PID", help="end when this process is gone")
    parser.add_argument("--operator-address", metavar="IP:PORT", help="where state and metrics are told")
    group = parser.add_argument_group("network (default: mainnet)")
    group.add_argument("--min-num-units", type=number, default=MAINNET.min_num_units, metavar="U")
    group.add_argument("--max-num-units", type=number, default=MAINNET.max_num_units, metavar="U")
    group.add_argument("--k1", type=number, default=MAINNET.k1, metavar="K", help="good labels for a nonce")
    group.add_argument("--k2", type=number, default=MAINNET.k2, metavar="K", help="labels in a proof")
    group.add_argument("--pow-difficulty", metavar="HEX", help="k2pow threshold for one unit, 32 bytes")
    group.add_argument("-n", type=number, default=MAINNET.scrypt_n, metavar="N", help="scrypt N (default 8192)")
    group.add_argument("-r", type=number, default=1, metavar="R", help="scrypt r (default 1)")
    group.add_argument("-p", type=number, default=1, metavar="P", help="scrypt p (default 1)")
    group = parser.add_argument_group("proving")
    group.add_argument("--threads", type=number, metavar="T", help="threads; 0: all processors")
    group.add_argument(
        "--pinned-cores", metavar="A,B,C", help="one thread on each of these processors, in place of --threads"
    )
    group.add_argument("--nonces", type=number, default=128, metavar="N", help="of one pass (default 128)")
    group.add_argument(
        "--randomx-mode",
        choices=("fast", "light"),
        metavar="MODE",
        help="fast: 2,080 MiB while proofs of work are sought; light: 256 MiB, ten times slower (default fast)",
    )
    group.add_argument("--randomx-large-pages", action="store_true", help="large pages for RandomX")
    remote_k2pow.add_arguments(parser)
    group = parser.add_argument_group("mutual TLS (https)")
    group.add_argument("--ca-cert", type=Path, metavar="FILE", help="certificate of the authority, PEM")
    group.add_argument("--cert", type=Path, metavar="FILE", help="this service's certificate, PEM")
    group.add_argument("--key", type=Path, metavar="FILE", help="its key, PEM")
    group.add_argument("--domain", metavar="NAME", help="the name in the node's certificate (default: the host)")


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
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what matters of it is in the log in our words
    set_up_logging(output)
    from api.services.k2pow.worker import RandomX
    from api.services.post import options
    from api.services.post.app import App

    settings = read_settings(arguments)
    identities = [read_identity(path, settings) for path in arguments.dir]
    check_distinct(identities)
    options.check_cores(settings.pinned_cores)
    asked = settings.randomx_mode if settings.full_randomx else "light"
    RandomX(asked, settings.threads).check()
    # once it runs, a proof in light mode is better than none
    source = RandomX("light" if asked == "light" else None, settings.threads, large_pages=settings.large_pages)
    app = App(settings, identities, source.open)

    def ready(running: App) -> None:
        output.event("serving", address=settings.address.url, operator=running.operator_port)

    code = asyncio.run(app.serve(ready))
    if app.busy:
        # a thread that does not end (a disk that hangs) would keep the process; what it could save is saved
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def read_settings(arguments: argparse.Namespace) -> Settings:
    """The options, checked. Raises UsageError, DataError."""
    from api.clients.k2pow import check_url
    from api.services.post import options
    from kernels.labels.cpu import usable_cores
    from protocol.post.rules import check_scrypt_n

    given = arguments
    if given.threads is None and given.pinned_cores is None:
        raise UsageError("--threads or --pinned-cores is required: --threads 0 uses all processors.")
    options.check_nonces(given.nonces)
    check_scrypt_n(given.n)
    if given.r < 1 or given.p < 1:
        raise UsageError(f"-r is {given.r} and -p is {given.p}, expected at least 1.")
    difficulty = given.pow_difficulty
    difficulty = MAINNET.pow_difficulty if difficulty is None else common.hex_bytes(difficulty, "--pow-difficulty")
    cores = () if given.pinned_cores is None else options.read_cores(given.pinned_cores)
    operator = given.operator_address and options.read_socket(given.operator_address, "--operator-address")
    remote = None
    if given.remote_k2pow:
        urls = tuple(check_url(url, "--remote-k2pow") for url in given.remote_k2pow)
        if given.remote_k2pow_parallelism < 1:
            raise UsageError("--remote-k2pow-parallelism is 0, expected at least 1.")
        remote = options.PowServices(urls, given.remote_k2pow_parallelism, given.remote_k2pow_backoff)
    tls = options.read_tls(given.ca_cert, given.cert, given.key, given.domain)
    address = options.read_address(given.address)
    for unused in options.check_security(address, tls):
        raise DataError(f"{unused} Give the https address of the node's TLS listener, or leave the certificates out.")
    return options.Settings(
        address=address,
        tls=tls,
        reconnect_interval_s=given.reconnect_interval_s,
        max_retries=given.max_retries,
        watch_pid=given.watch_pid,
        operator_address=operator,
        min_num_units=given.min_num_units,
        max_num_units=given.max_num_units,
        k1=given.k1,
        k2=given.k2,
        pow_difficulty=difficulty,
        scrypt_n=given.n,
        scrypt_r=given.r,
        scrypt_p=given.p,
        threads=len(cores) or given.threads or usable_cores(),
        pinned_cores=cores,
        nonces=given.nonces,
        randomx_mode=given.randomx_mode,
        large_pages=given.randomx_large_pages,
        remote_pow=remote,
    )


def read_identity(path: Path, settings: Settings) -> Identity:
    """A data directory. Raises DataError: the reference ends with 1 whatever is wrong with it."""
    from api.cli.data import dataset
    from api.cli.data.prove import state_file
    from api.services.post.job import DataFiles, Identity

    try:
        data = dataset.open_data(path)
    except ProofError as error:
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


def set_up_logging(output: Output) -> None:
    """To standard error, as the node that starts a service expects; or as events."""
    handler: logging.Handler = JsonHandler(output) if output.json else logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("post-service", "k2pow-service"):  # the second is what prepares RandomX
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO)
