"""`smesher poet status`: what a PoET server does, from its status page or from its directory.

A running server is asked over HTTP; with `--watch` the display stays and is renewed. Without a server the
directory still tells which rounds are in work, how far they are and which proofs there are. Protocol 02-poet,
sections 6 to 8.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from api.cli import common
from api.cli.output import Output
from api.cli.units import byte_size, duration
from api.edge.errors import DataError, EnvironmentFault, UsageError
from api.edge.text import escaped, shown

DEFAULT_URL = "http://localhost:8080"
TIMEOUT_S = 10.0
INTERVAL_S = 1.0
MOST_BYTES = 1 << 20
LISTED = 10
"""Rounds that are named; of more it is said how many there are."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `status`."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", default=None, help=f"the server's HTTP address ({DEFAULT_URL})")
    where.add_argument("--poetdir", type=common.path, default=None, help="look into a server's directory instead")
    parser.add_argument("--watch", action="store_true", help="stay, and renew the display every second")


def status(arguments: argparse.Namespace, output: Output) -> int:
    """Shows the state once, or until interrupted. Raises UsageError, DataError; EnvironmentFault: no server answers."""
    if arguments.poetdir is not None:
        return _show_directory(arguments.poetdir, output)
    url = address(arguments.url or DEFAULT_URL) + "/status.json"
    if not arguments.watch:
        _show(ask(url), output)
        return 0
    if output.json:
        while True:
            _show(ask(url), output)
            time.sleep(INTERVAL_S)
    from rich.live import Live

    with Live(table(ask(url)), console=output.console, refresh_per_second=4) as live:
        while True:
            time.sleep(INTERVAL_S)
            live.update(table(ask(url)))


def address(url: str) -> str:
    """A server's address without a slash at its end. Raises UsageError for what is none."""
    given = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(given)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise UsageError(f"--url is {shown(url)}, expected a server's address such as {DEFAULT_URL}.")
    return given.rstrip("/")


def ask(url: str) -> dict[str, Any]:
    """The status of a running server. Raises EnvironmentFault, DataError."""
    from api.http import bounded_json, client

    limits = client.ClientLimits(TIMEOUT_S, TIMEOUT_S, TIMEOUT_S, MOST_BYTES)
    try:
        body = client.fetch("GET", url, limits=limits).body
    except client.Unreachable as error:
        raise EnvironmentFault(
            f"No PoET server of ours answers at {error!s}. Start it, or name its address with --url."
        ) from None
    try:
        bounded_json.check(body)
        found: dict[str, Any] = json.loads(body)
        rows(found)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"{url} answers with something else than a status: {shown(error, 200)}.") from None
    return found


def _show(state: dict[str, Any], output: Output) -> None:
    output.event("status", **state)
    output.facts(rows(state))


def table(state: dict[str, Any]) -> Any:
    """The state as a table that is renewed in its place."""
    from rich.table import Table
    from rich.text import Text

    shown = Table(show_header=False, box=None, pad_edge=False)
    shown.add_column(style="bold")
    shown.add_column(overflow="fold")
    for name, value in rows(state):
        shown.add_row(name, Text(value))
    return shown


def rows(state: dict[str, Any]) -> list[tuple[str, str]]:
    """The state in words: names with values. Raises LookupError, TypeError, ValueError for what is no state."""
    worker, opened, now = state["worker"], state["open_round"], state["now_ns"]
    closes = f"closes in {duration((opened['closes_ns'] - now) / 1e9)}"
    shown = [
        ("Service", escaped(str(state["service_pubkey"]))),
        ("Open round", f"{int(opened['id'])}, {opened['members']:,} members, {closes}"),
        ("Worker", escaped(str(worker["state"]))),
    ]
    if worker["round_id"] is not None:
        ends = f", ends in {duration((worker['deadline_ns'] - now) / 1e9)}" if worker["deadline_ns"] else ""
        shown += [
            ("In work", f"round {worker['round_id']}, {worker['num_leaves']:,} leaves{ends}"),
            ("Rate", f"{worker['leaves_per_second']:,.0f} leaves/s, drift {worker['drift']:+.2%} of its mean"),
            ("At the end", f"{worker['expected_leaves']:,} leaves, {worker['expected_ticks']:,} ticks expected"),
            ("On disk", byte_size(worker["disk_bytes"])),
        ]
    proofs = [int(one) for one in state["proofs"]]
    shown.append(("Last proofs", newest(proofs, state.get("proof_count", len(proofs)))))
    conflicts = state.get("conflicts", {})
    if conflicts.get("total"):
        shown.append(("Conflicts", f"{conflicts['total']:,} registrations, {conflicts['per_minute']:.1f} a minute"))
    if state.get("clock"):
        shown.append(("Clock", escaped(str(state["clock"]), 1000)))
    if state["fault"]:
        shown.append(("Fault", escaped(str(state["fault"]), 1000)))
    return shown


def newest(rounds: list[int], count: int) -> str:
    """The newest rounds of a list, and how many more there are."""
    shown = rounds[-LISTED:]
    older = max(0, count - len(shown))
    names = ", ".join(str(one) for one in shown) or "none"
    return f"{names} (and {older:,} older)" if older else names


def _show_directory(poetdir: Path, output: Output) -> int:
    """What lies in a directory, whether a server runs or not. Raises DataError."""
    from prover.poet.server.records import STATE_FILE, read_round_state
    from prover.poet.server.store import stored_rounds

    rounds_dir = poetdir / "data" / "rounds"
    if not (poetdir / "data").is_dir():
        raise DataError(f"{poetdir} holds no PoET server's data; name the directory given to --poetdir.")
    rounds: list[dict[str, Any]] = []
    for round_id in stored_rounds(rounds_dir):
        directory = rounds_dir / str(round_id)
        if not (directory / STATE_FILE).exists():
            continue
        state = read_round_state(directory)
        rounds.append(
            {
                "round_id": round_id,
                "started": str(state.started),
                "statement": state.execution.statement.hex(),
                "saved_leaves": saved_leaves(directory, state.execution.num_leaves, state.execution.statement),
                "has_proof": state.execution.nip is not None,
                "disk_bytes": sum(path.stat().st_size for path in directory.iterdir() if path.is_file()),
            }
        )
    registered = stored_rounds(poetdir / "db" / "rounds")
    output.event("directory", rounds_in_work=rounds, rounds_with_members=registered)
    if not rounds:
        output.say("No round is in work.")
    for one in rounds:
        proof = "proof drawn" if one["has_proof"] else f"{one['saved_leaves']:,} leaves saved"
        output.say(f"Round {one['round_id']}, begun {one['started']}: {proof}, {byte_size(one['disk_bytes'])} on disk.")
    output.say(f"Rounds with registrations: {newest(registered, len(registered))}.")
    return 0


def saved_leaves(directory: Path, state_leaves: int, statement: bytes) -> int:
    """Leaves of a round that a restart need not make again, as its log says."""
    from prover.poet.round import layers

    if not layers.has_round(directory):
        return state_leaves
    log = layers.open_log(directory, statement, 0)
    return log.recorded << log.height
