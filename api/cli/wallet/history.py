"""`smesher tx history`: what has happened to an account, as a node's API tells it, on the screen or as CSV."""

from __future__ import annotations

import argparse
from pathlib import Path

from api.cli import common
from api.cli.new_file import write_new
from api.cli.output import Output
from api.edge.errors import UsageError

DEFAULT_NODE = "127.0.0.1:9092"
SHOWN = 50
"""Entries on the screen, the newest ones."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the word."""
    parser.add_argument("address", metavar="ADDRESS", help="the account")
    parser.add_argument(
        "--node",
        default=DEFAULT_NODE,
        metavar="HOST:PORT",
        help=f"the public API of a node, ours or an original one; TLS where the port is 443 (default {DEFAULT_NODE})",
    )
    parser.add_argument("--csv", type=common.path, metavar="FILE", help="write all of it there; the file must be new")
    parser.add_argument(
        "--tls", action=argparse.BooleanOptionalAction, default=None, help="encrypt the connection, whatever the port"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: told; 2: the address is none of the node's network, or the file is there; 3: no node answers."""
    from api.clients.node import PublicApi  # loads gRPC; help needs none of it
    from api.wallet import amounts, history
    from protocol.numbers.time import Time
    from protocol.types import address

    path: Path | None = arguments.csv
    if path is not None and path.exists():
        raise UsageError(f"{path} exists already: choose another name with --csv.")
    with PublicApi(arguments.node, is_encrypted=arguments.tls) as api, output.busy("asking the node"):
        network = api.network()
        account = address.to_text(address.from_text(arguments.address, network.hrp), network.hrp)
        applied = [history.of_transaction(one, account) for one in api.transactions(account)]
        applied += [history.of_reward(one) for one in api.rewards(account)]
        waiting = [history.of_transaction(one, account) for one in api.waiting(account)]
        now = api.account(account)
    entries = history.in_order(applied, waiting)
    genesis, duration = network.genesis_time.ToNanoseconds(), network.layer_duration.ToNanoseconds()
    times = ["" if one.layer is None else str(Time.of(genesis + one.layer * duration)) for one in entries]
    changed, balance = sum(one.change for one in entries), now.current.balance if now else 0
    if path is not None:
        write_new(path, history.table(entries, times), "choose another name with --csv")
    for row in history.rows(entries, times) if output.json else ():
        output.event("entry", **dict(zip(history.COLUMNS, row)))
    output.event(
        "done",
        address=account,
        entries=len(entries),
        balance_smidge=balance,
        began_with_smidge=balance - changed,
        file=None if path is None else str(path),
    )
    for one, time in list(zip(entries, times))[-SHOWN:]:
        where = "waits" if one.layer is None else f"layer {one.layer}, {time[:16].replace('T', ' ')}"
        sign = "+" if one.change > 0 else "-" if one.change < 0 else ""
        change = f"{sign}{amounts.smh(abs(one.change))}"
        other = f"  {one.other}" if one.other else ""
        output.say(f"{where:32}  {one.kind:9} {change:>22}  {one.status}{other}")
    if len(entries) > SHOWN:
        output.say(f"... and {len(entries) - SHOWN} before (all of them with --csv FILE)")
    output.facts(
        [
            ("entries", f"{len(entries):,}"),
            *([("began with", amounts.shown(balance - changed))] if balance != changed else []),
            ("balance", amounts.shown(balance)),
            *([("written", path)] if path is not None else []),
        ]
    )
    return 0
