"""Options of the commands that may have their proofs of work found by k2pow services on other machines."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from api.cli.settings import add_settings, given
from api.clients.k2pow import RemotePow
from api.services.post.flags import METAVARS, REMOTE_SETTINGS
from prover.post.proof.verify import PowHash


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--remote-k2pow, --remote-k2pow-parallelism, --remote-k2pow-backoff: the names of the reference's service."""
    add_settings(parser, REMOTE_SETTINGS, METAVARS)


def chosen(arguments: argparse.Namespace, pow_hash: PowHash, note: Callable[[str], None]) -> RemotePow | None:
    """The client that the options ask for; None without one. Raises UsageError. Close it when done."""
    from api.services.post.options import read_remote

    found = read_remote(given(arguments, REMOTE_SETTINGS))
    if found is None:
        return None
    return RemotePow(
        found.urls,
        parallelism=found.parallelism,
        backoff_s=found.backoff_s,
        pow_hash=pow_hash,
        note=note,
        token=found.token,
    )
