"""What the operator sees: the recorded answer, the same in full as JSON, and a page in words.

Specified in protocol 01-post-tools, section 4.3. With several identities the recorded form stands once for each,
by node id; what went wrong is in the full form and in the words, for which the recorded form has no place.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from api.services.post.job import Identity, Progress
from api.services.post.machine import IdentityState, Phase
from api.services.post.options import Settings
from api.services.post.reconnect import Reconnect
from prover.post.check import BadLabel
from prover.post.layout import file_name
from prover.post.proof.randomx_cache import State

NAMED = 20
"""Wrong labels that are named; of more there is the number."""

HASHES_SHOWN = {"none": "not in memory", "building": "being built", "light": "light mode", "full": "fast mode"}


@dataclass(frozen=True, slots=True)
class One:
    """One identity as it is now."""

    identity: Identity
    state: IdentityState
    link: Reconnect
    progress: Progress | None
    """Of the proof in work, if it is this identity's."""
    incomplete: Sequence[str]
    """Files that are missing or short."""
    wrong_labels: Sequence[BadLabel]
    """Labels that are known to be wrong on disk: they are left out of every proof."""
    nonce_fault: str
    """What is wrong with the VRF nonce."""
    read_errors: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is shown."""

    settings: Settings
    identities: Sequence[One]
    randomx: State
    now: float
    """On the clock of the states and links."""
    date: Callable[[float], str]
    """A moment of that clock for people."""


def recorded(one: One, settings: Settings) -> object:
    """The answer of the recorded program."""
    if one.state.phase is Phase.IDLE:
        return "Idle"
    if one.state.phase in (Phase.DONE, Phase.FAILED):
        return "DoneProving"
    progress = one.progress or Progress("preparing", 0, settings.nonces)
    nonces = {"start": progress.first_nonce, "end": progress.end_nonce}
    return {"Proving": {"nonces": nonces, "position": progress.position}}


def recorded_json(snapshot: Snapshot) -> bytes:
    """That of the only identity, or of all by node id."""
    answers = {one.identity.metadata.node_id.hex(): recorded(one, snapshot.settings) for one in snapshot.identities}
    return compact(next(iter(answers.values())) if len(answers) == 1 else answers)


def compact(document: object) -> bytes:
    """JSON without spaces."""
    return json.dumps(document, separators=(",", ":")).encode()


def full_json(snapshot: Snapshot) -> bytes:
    """Everything that the words say, for programs."""
    document = {
        "address": snapshot.settings.address.url,
        "randomx": snapshot.randomx,
        "identities": [_facts(one, snapshot) for one in snapshot.identities],
    }
    return (json.dumps(document) + "\n").encode()


def _facts(one: One, snapshot: Snapshot) -> dict[str, Any]:
    metadata, state, link, progress = one.identity.metadata, one.state, one.link, one.progress
    fault, problem, wrong = state.fault, link.problem, one.wrong_labels[:NAMED]
    return {
        "node_id": metadata.node_id.hex(),
        "directory": str(one.identity.storage.path),
        "num_units": metadata.num_units,
        "status": recorded(one, snapshot.settings),
        "phase": state.phase.value,
        "challenge": state.challenge.hex() if state.challenge is not None else None,
        "progress": None
        if progress is None
        else {
            "phase": progress.phase,
            "done": progress.done,
            "total": progress.total,
            "first_nonce": progress.first_nonce,
            "end_nonce": progress.end_nonce,
            "seconds_left": seconds_left(progress, snapshot.now),
        },
        "last_error": None
        if fault is None
        else {"kind": fault.kind, "text": fault.text, "seconds_ago": round(snapshot.now - fault.at, 1)},
        "connected": link.connected_since is not None,
        "connection_problem": None
        if problem is None
        else {"text": problem.text, "seconds_ago": round(snapshot.now - problem.at, 1)},
        "missing": list(one.incomplete),
        "wrong_labels": [{"index": bad.index, "file": file_name(bad.file), "offset": bad.offset} for bad in wrong],
        "wrong_labels_count": len(one.wrong_labels),
        "nonce_fault": one.nonce_fault or None,
        "read_errors": one.read_errors,
        "last_proof": None
        if state.last_made is None
        else {"challenge": state.last_made[1].hex(), "seconds_ago": round(snapshot.now - state.last_made[0], 1)},
    }


def seconds_left(progress: Progress, now: float) -> float | None:
    """Of the pass, at the rate so far; None where it cannot be told."""
    gone, made = now - progress.since, progress.done - progress.done_then
    if progress.phase != "labels" or made <= 0 or gone <= 0:
        return None
    return round((progress.total - progress.done) * gone / made, 1)


def rows(one: One, snapshot: Snapshot) -> list[tuple[str, str]]:
    """Name and sentence, for one identity."""
    metadata, state, link = one.identity.metadata, one.state, one.link
    found = [
        ("Identity", metadata.node_id.hex()),
        ("Data", f"{one.identity.storage.path}, {metadata.num_units} units"),
        ("Node", _connection(one, snapshot)),
        ("State", _state(one, snapshot)),
    ]
    if state.challenge is not None:
        found.append(("Challenge", state.challenge.hex()))
    if state.fault is not None:
        found.append(("Last error", f"{snapshot.date(state.fault.at)}: {state.fault.text}"))
    if state.last_made is not None:
        when, challenge = state.last_made
        found.append(("Last proof", f"made {snapshot.date(when)} for challenge {challenge.hex()}"))
    if one.incomplete:
        found.append(("Missing data", "; ".join(one.incomplete)))
    if one.wrong_labels:
        named = ", ".join(f"{bad.index} ({file_name(bad.file)} at {bad.offset})" for bad in one.wrong_labels[:NAMED])
        more = f" and {len(one.wrong_labels) - NAMED} more" if len(one.wrong_labels) > NAMED else ""
        found.append(("Wrong labels", f"{named}{more}: left out of proofs; run smesher repair"))
    if one.nonce_fault:
        found.append(("VRF nonce", one.nonce_fault))
    if one.read_errors:
        found.append(("Read errors", f"{one.read_errors} files could not be read to their end in the last proof"))
    if link.problem is not None and link.connected_since is not None:
        found.append(("Last break", f"{snapshot.date(link.problem.at)}: {link.problem.text}"))
    return found


def _connection(one: One, snapshot: Snapshot) -> str:
    link = one.link
    if link.connected_since is not None:
        return f"connected to {link.address} since {snapshot.date(link.connected_since)}"
    if link.problem is None:
        return f"connecting to {link.address}"
    tries = f", {link.attempts} attempts" if link.attempts else ""
    return f"not connected to {link.address}{tries}: {link.problem.text}"


def _state(one: One, snapshot: Snapshot) -> str:
    state = one.state
    since = f" since {snapshot.date(state.since)}"
    match state.phase:
        case Phase.IDLE:
            return "idle: waits for the node to ask for a proof"
        case Phase.QUEUED:
            return f"waiting{since}: the proof of another identity is being made"
        case Phase.DONE:
            return f"done{since}: the proof is ready for the node to fetch"
        case Phase.FAILED:
            return f"failed{since}: the node is told when it asks next, then a new request starts afresh"
        case Phase.PROVING:
            return f"proving{since}: {_progress(one, snapshot)}"


def _progress(one: One, snapshot: Snapshot) -> str:
    progress = one.progress
    if progress is None:
        return "beginning"
    nonces = f"nonces {progress.first_nonce} to {progress.end_nonce - 1}"
    gone = max(snapshot.now - progress.since, 1e-9)
    match progress.phase:
        case "preparing":
            return "looking at the data"
        case "randomx":
            return "RandomX is being prepared for the proofs of work"
        case "k2pow":
            tried = f", {progress.hashes:,} hashes tried for the next ({progress.hashes / gone:,.0f}/s)"
            return (
                f"proofs of work for {nonces}: {progress.done} of {progress.total} found"
                f"{tried if progress.hashes else ''}"
            )
        case "checking":
            return "a proof is found and being checked"
        case "labels":
            share = progress.done / progress.total if progress.total else 1.0
            rate = (progress.done - progress.done_then) * 16 / gone / 2**20
            left = seconds_left(progress, snapshot.now)
            end = "" if left is None else f", at most {duration(left)} left of this pass"
            return f"reading the data for {nonces}: {share:.1%}, {rate:,.0f} MiB/s{end}"


def duration(seconds: float) -> str:
    """Seconds for people."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def as_text(snapshot: Snapshot) -> bytes:
    """The page in words, plain."""
    parts = []
    for one in snapshot.identities:
        parts.append("\n".join(f"{name + ':':14}{text}" for name, text in rows(one, snapshot)))
    parts.append(f"{'RandomX:':14}{HASHES_SHOWN[snapshot.randomx]}")
    return ("\n\n".join(parts) + "\n").encode()


def as_html(snapshot: Snapshot) -> bytes:
    """The page in words for browsers; it reloads itself."""
    tables = []
    for one in snapshot.identities:
        cells = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in rows(one, snapshot)
        )
        tables.append(f"<table>{cells}</table>")
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>"
        "<title>PoST service</title><style>body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;"
        "max-width:56rem}table{margin-bottom:2rem}th{text-align:left;padding-right:2rem;vertical-align:top;"
        "white-space:nowrap}td{word-break:break-word}</style><h1>PoST service</h1>"
        f"{''.join(tables)}<p>RandomX: {HASHES_SHOWN[snapshot.randomx]}</html>\n"
    ).encode()
