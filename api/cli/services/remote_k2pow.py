"""Options of the commands that may have their proofs of work found by k2pow services on other machines."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from api.cli import common
from api.clients.k2pow import BACKOFF_S, PARALLELISM, RemotePow
from api.edge.errors import UsageError
from prover.post.proof.verify import PowHash

LEAST_TOKEN, LONGEST_TOKEN = 16, 1000


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
    group.add_argument(
        "--remote-k2pow-token-file",
        type=Path,
        metavar="FILE",
        help="the token that the services ask for (their --token-file)",
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
        token=read_token(arguments.remote_k2pow_token_file, "--remote-k2pow-token-file"),
    )


def read_token(path: Path | None, option: str) -> str:
    """The word in a small file; empty without a file. Raises UsageError that names the option."""
    if path is None:
        return ""
    try:
        if not path.is_file():
            raise UsageError(f"{option} {path} is no file.")
        with path.open("rb") as file:
            text = file.read(LONGEST_TOKEN + 1).decode("utf-8-sig").strip()
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        text = ""
    if not LEAST_TOKEN <= len(text) <= LONGEST_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(
            f"{option} {path} holds no token, expected one word of {LEAST_TOKEN} to {LONGEST_TOKEN} letters and "
            "digits; make one with: openssl rand -hex 32"
        )
    return text
