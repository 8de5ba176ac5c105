"""The settings of the PoST service: the flags of the reference's program, and ours beside them.

Specified in protocol 01-post-tools, section 4.1. Nothing heavy is imported here: help is made of it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from api.clients.k2pow import BACKOFF_S, PARALLELISM
from api.config import kinds
from api.config.kinds import Kind, decimal_integer
from api.config.settings import Setting
from protocol.params.post import MAINNET

U32 = (1 << 32) - 1
COUNT = decimal_integer(0, U32)
SECONDS = decimal_integer(0, 10 * 365 * 86_400)

NETWORK, PROVING, REMOTE, TLS = (
    "network (default: mainnet)",
    "proving",
    "remote k2pow (default: proofs of work are found here)",
    "mutual TLS (https)",
)


def _paths(text: str) -> tuple[Path, ...]:
    return (kinds.PATH.from_text(text),)


DIRECTORIES = Kind("the name of a directory", _paths, _paths, lambda value: [str(one) for one in value], appends=True)
ADDRESSES = replace(kinds.TEXTS, from_text=lambda text: (text,))


def _one(
    flag: str,
    kind: Kind,
    help: str,
    default: object = None,
    *,
    short: str = "",
    group: str = "",
    default_text: str = "",
) -> Setting:
    return Setting(flag or short, kind, default, help, flag, short, group=group, default_text=default_text)


REMOTE_SETTINGS = (
    _one("remote-k2pow", ADDRESSES, "let this k2pow service find the proofs of work; repeatable, jobs are shared", (),
         group=REMOTE),
    _one("remote-k2pow-parallelism", decimal_integer(1, 1024), "jobs at once; best as many as there are services",
         group=REMOTE, default_text=str(PARALLELISM)),
    _one("remote-k2pow-backoff", SECONDS, "seconds before a service is asked again", group=REMOTE,
         default_text=f"{BACKOFF_S:.0f}"),
    _one("remote-k2pow-token-file", kinds.PATH, "the word that the services ask for (their --token-file)",
         group=REMOTE),
)  # fmt: skip
"""Shared by all commands that may have their proofs of work found elsewhere."""

SETTINGS = (
    _one("dir", DIRECTORIES, "data directory; repeatable", (), short="d"),
    _one("address", kinds.TEXT, "the node's PoST listener", short="a"),
    _one("reconnect-interval-s", SECONDS, "seconds between attempts to connect", 5),
    _one("max-retries", COUNT, "attempts to connect again before giving up", default_text="no end"),
    _one("watch-pid", decimal_integer(1, (1 << 31) - 1), "end when this process is gone"),
    _one("operator-address", kinds.TEXT, "where state and metrics are told", default_text="nowhere"),
    _one("min-num-units", COUNT, "fewest units of a data directory", MAINNET.min_num_units, group=NETWORK),
    _one("max-num-units", COUNT, "most units", MAINNET.max_num_units, group=NETWORK),
    _one("k1", COUNT, "good labels for a nonce", MAINNET.k1, group=NETWORK),
    _one("k2", COUNT, "labels in a proof", MAINNET.k2, group=NETWORK),
    _one("pow-difficulty", kinds.HASH32, "k2pow threshold for one unit, 32 bytes", MAINNET.pow_difficulty,
         group=NETWORK),
    _one("", decimal_integer(0, U32), "scrypt N", MAINNET.scrypt_n, short="n", group=NETWORK),
    _one("", COUNT, "scrypt r", 1, short="r", group=NETWORK),
    _one("", COUNT, "scrypt p", 1, short="p", group=NETWORK),
    _one("threads", COUNT, "threads; 0: all processors", group=PROVING),
    _one("pinned-cores", kinds.TEXT, "one thread on each of these processors, in place of --threads", group=PROVING),
    _one("nonces", COUNT, "nonces of one pass, a multiple of 16", 128, group=PROVING),
    _one("randomx-mode", kinds.one_of("fast", "light"),
         "fast: 2,080 MiB while proofs of work are sought; light: 256 MiB, ten times slower", group=PROVING,
         default_text="fast"),
    _one("randomx-large-pages", kinds.SWITCH, "large pages for RandomX", False, group=PROVING),
    *REMOTE_SETTINGS,
    _one("ca-cert", kinds.PATH, "certificate of the authority, PEM", group=TLS),
    _one("cert", kinds.PATH, "this service's certificate, PEM", group=TLS),
    _one("key", kinds.PATH, "its key, PEM", group=TLS),
    _one("domain", kinds.TEXT, "the name in the node's certificate", group=TLS, default_text="the host"),
)  # fmt: skip

METAVARS = {
    "dir": "D",
    "address": "URL",
    "reconnect-interval-s": "S",
    "max-retries": "N",
    "watch-pid": "PID",
    "operator-address": "IP:PORT",
    "min-num-units": "U",
    "max-num-units": "U",
    "k1": "K",
    "k2": "K",
    "pow-difficulty": "HEX",
    "n": "N",
    "r": "R",
    "p": "P",
    "threads": "T",
    "pinned-cores": "A,B,C",
    "nonces": "N",
    "randomx-mode": "MODE",
    "remote-k2pow": "URL",
    "remote-k2pow-parallelism": "N",
    "remote-k2pow-backoff": "SECONDS",
    "remote-k2pow-token-file": "FILE",
    "ca-cert": "FILE",
    "cert": "FILE",
    "key": "FILE",
    "domain": "NAME",
}
"""What stands for each value in help."""
