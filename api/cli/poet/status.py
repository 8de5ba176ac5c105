"""`smesher poet status`: what a PoET server does, from its status page or from its directory.

A running server is asked over HTTP; with `--watch` the display stays and is renewed. Without a server the
directory still tells which rounds are in work, how far they are and which proofs there are. Protocol 02-poet,
sections 6 to 8.
"""

from __future__ import annotations

import argparse
import json
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from api.cli.output import Output
from prover.errors import DataError, EnvironmentFault, UsageError

DEFAULT_URL = "http://localhost:8080"
TIMEOUT_S = 10.0
INTERVAL_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `status`."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", default=None, help=f"the server's HTTP address ({DEFAULT_URL})")
    where.add_argument("--poetdir", type=Path, default=None, help="look into a server's directory instead")
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
        raise UsageError(f"--url is {url!r}, expected a server's address such as {DEFAULT_URL}.")
    return given.rstrip("/")


def ask(url: str) -> dict[str, Any]:
    """The status of a running server. Raises EnvironmentFault, DataError."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            body = answer.read()
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise EnvironmentFault(
            f"No PoET server of ours answers at {url}: {reason}. Start it, or name its address with --url."
        ) from None
    try:
        found: dict[str, Any] = json.loads(body)
        table(found)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(f"{url} answers with something else than a status: {error!r}.") from None
    return found


def _show(state: dict[str, Any], output: Output) -> None:
    output.event("status", **state)
    output.show(table(state))


def table(state: dict[str, Any]) -> Any:
    """The state as a table for people."""
    from rich.table import Table
    from rich.text import Text

    worker, opened = state["worker"], state["open_round"]
    shown = Table(show_header=False, box=None, pad_edge=False)
    shown.add_column(style="bold")
    shown.add_column(overflow="fold")
    now = state["now_ns"]
    shown.add_row("Service", state["service_pubkey"])
    closes = f"closes in {span((opened['closes_ns'] - now) / 1e9)}"
    shown.add_row("Open round", f"{opened['id']}, {opened['members']:,} members, {closes}")
    shown.add_row("Worker", worker["state"])
    if worker["round_id"] is not None:
        ends = f", ends in {span((worker['deadline_ns'] - now) / 1e9)}" if worker["deadline_ns"] else ""
        shown.add_row("In work", f"round {worker['round_id']}, {worker['num_leaves']:,} leaves{ends}")
        shown.add_row("Rate", f"{worker['leaves_per_second']:,.0f} leaves/s, drift {worker['drift']:+.2%} of its mean")
        shown.add_row(
            "At the end", f"{worker['expected_leaves']:,} leaves, {worker['expected_ticks']:,} ticks expected"
        )
        shown.add_row("On disk", f"{worker['disk_bytes'] / 2**20:,.1f} MiB")
    shown.add_row("Last proofs", ", ".join(str(one) for one in state["proofs"]) or "none")
    if state["fault"]:
        shown.add_row("Fault", Text(str(state["fault"]), "bold red"))
    return shown


def span(seconds: float) -> str:
    """A time left, for people."""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, whole = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole} s" if minutes else f"{whole} s"


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
        output.say(
            f"Round {one['round_id']}, begun {one['started']}: {proof}, {one['disk_bytes'] / 2**20:,.1f} MiB on disk."
        )
    names = ", ".join(str(one) for one in registered[-10:]) or "none"
    output.say(f"Rounds with registrations: {names}.")
    return 0


def saved_leaves(directory: Path, state_leaves: int, statement: bytes) -> int:
    """Leaves of a round that a restart need not make again, as its log says."""
    from prover.poet.round import layers

    if not layers.has_round(directory):
        return state_leaves
    log = layers.open_log(directory, statement, 0)
    return log.recorded << log.height
