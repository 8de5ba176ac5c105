"""Options of the commands that may have their proofs of work found by k2pow services on other machines."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from api.cli import common
from api.clients.k2pow import BACKOFF_S, PARALLELISM, RemotePow
from prover.post.proof.verify import PowHash


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--remote-k2pow, --remote-k2pow-parallelism, --remote-k2pow-backoff: the names of the reference's service."""
    group = parser.add_argument_group("remote k2pow (default: proofs of work are found here)")
    group.add_argument(
        "--remote-k2pow",
        action="append",
        default=[],
        metavar="URL",
        help="let this k2pow service find the proofs of work; repeatable, jobs are shared among all",
    )
    group.add_argument(
        "--remote-k2pow-parallelism",
        type=common.whole_number,
        default=PARALLELISM,
        metavar="N",
        help=f"jobs at once (default {PARALLELISM}); best as many as there are services",
    )
    group.add_argument(
        "--remote-k2pow-backoff",
        type=common.whole_number,
        default=int(BACKOFF_S),
        metavar="SECONDS",
        help=f"wait so long before a service is asked again (default {BACKOFF_S:.0f})",
    )


def chosen(arguments: argparse.Namespace, pow_hash: PowHash, note: Callable[[str], None]) -> RemotePow | None:
    """The client that the options ask for; None without one. Raises UsageError. Close it when done."""
    if not arguments.remote_k2pow:
        return None
    return RemotePow(
        arguments.remote_k2pow,
        parallelism=arguments.remote_k2pow_parallelism,
        backoff_s=arguments.remote_k2pow_backoff,
        pow_hash=pow_hash,
        note=note,
    )
