"""What the operator sees: the state of a server as one JSON object, and as a small page that reloads itself.

`smesher poet status` reads the JSON from a running server. Rates, drift and expected ticks are worked out here,
so that page, command and metrics say the same.
"""

from __future__ import annotations

import html
import json
from datetime import UTC, datetime
from typing import Any

from api.services.poet.service import PoetService
from protocol.params.config import networks
from prover.errors import ProofError

LISTED = 10
"""Proofs that are named; of all it is told how many there are."""


def snapshot(service: PoetService) -> dict[str, Any]:
    """Everything the status shows. Times are Unix nanoseconds, sizes bytes."""
    machine, progress, config = service.machine, service.progress, service.config
    schedule = config.schedule
    now = service.clock()
    worker = progress.public()
    expected = None
    if progress.round_id is not None:
        end = progress.deadline_ns or schedule.end(progress.round_id)
        left_s = max(0, end - now) / 1e9
        expected = progress.num_leaves + int(left_s * progress.leaves_per_second)
    tick_size = networks.BY_NAME.get(config.network or "", networks.BY_NAME["standalone"]).main.tick_size
    drift = 0.0
    if progress.mean_leaves_per_second > 0:
        drift = progress.leaves_per_second / progress.mean_leaves_per_second - 1
    proofs = _proofs(service)
    return {
        "now_ns": now,
        "service_pubkey": service.pubkey.hex(),
        "network": config.network,
        "open_round": {
            "id": machine.open_round,
            "members": machine.members + machine.pending,
            "closes_ns": schedule.start(machine.open_round),
            "ends_ns": schedule.end(machine.open_round),
        },
        "worker": {
            **worker,
            "drift": round(drift, 5),
            "expected_leaves": expected,
            "expected_ticks": None if expected is None else expected // tick_size,
            "tick_size": tick_size,
        },
        "proofs": proofs[-LISTED:],
        "proof_count": len(proofs),
        "fault": service.fault or progress.problem,
        "clock": service.clock_problem,
        "conflicts": {
            "total": service.conflicts.total,
            "per_minute": service.conflicts.per_minute(now),
            "latest": [{"pubkey": key.hex(), "times": count} for key, count in service.conflicts.latest()],
        },
    }


def _proofs(service: PoetService) -> list[int]:
    try:
        return service.proofs.rounds()
    except ProofError:
        return []  # the database waits for room on the disk; the fault says so


def as_json(service: PoetService) -> bytes:
    """The snapshot as JSON, with a newline at the end."""
    return (json.dumps(snapshot(service)) + "\n").encode()


def as_html(service: PoetService) -> bytes:
    """The snapshot as a page."""
    state = snapshot(service)
    worker, opened = state["worker"], state["open_round"]
    rows = [
        ("Service", state["service_pubkey"]),
        ("Network", state["network"] or "custom"),
        ("Open round", opened["id"]),
        ("Members", f"{opened['members']:,}"),
        ("Registration closes", moment(opened["closes_ns"])),
        ("Worker", worker["state"]),
    ]
    if worker["round_id"] is not None:
        rows += [
            ("Round in work", worker["round_id"]),
            ("Leaves", f"{worker['num_leaves']:,}"),
            ("Rate", f"{worker['leaves_per_second']:,.0f} leaves/s, drift {worker['drift']:+.2%}"),
            ("Ends", moment(worker["deadline_ns"])),
            ("Expected at the end", f"{worker['expected_leaves']:,} leaves, {worker['expected_ticks']:,} ticks"),
            ("On disk", f"{worker['disk_bytes'] / 2**20:,.1f} MiB"),
        ]
    rows.append(("Last proofs", ", ".join(str(one) for one in state["proofs"]) or "none"))
    conflicts = state["conflicts"]
    if conflicts["total"]:
        latest = ", ".join(f"{one['pubkey']} ({one['times']})" for one in conflicts["latest"])
        rows.append(
            (
                "Conflicting registrations",
                f"{conflicts['total']:,}, {conflicts['per_minute']:.1f} a minute over the last ten; last of {latest}",
            )
        )
    if state["clock"]:
        rows.append(("Clock", state["clock"]))
    if state["fault"]:
        rows.append(("Fault", state["fault"]))
    table = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>" for name, value in rows)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>"
        "<title>PoET server</title><style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;"
        "max-width:46rem}th{text-align:left;padding-right:2rem;vertical-align:top}td{word-break:break-all}"
        f"</style><h1>PoET server</h1><table>{table}</table></html>\n"
    ).encode()


def moment(unix_ns: int | None) -> str:
    """A time for people, in UTC."""
    if unix_ns is None:
        return "unknown"
    try:
        return datetime.fromtimestamp(unix_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError):
        return f"{unix_ns} ns"
