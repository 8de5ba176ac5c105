"""The figures of the service, as Prometheus reads them. The recorded program has none; all names are ours."""

from __future__ import annotations

from api.services.poet.metrics import family, sample
from api.services.post.machine import Phase
from api.services.post.status import Board, One

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def text(board: Board) -> bytes:
    """The exposition."""
    lines: list[str] = []

    def each(name: str, kind: str, help: str, value: object) -> None:
        family(lines, f"smesher_post_{name}", kind, help)
        for one in board.identities:
            lines.append(sample(f"smesher_post_{name}", _labels(one), value(one)))  # type: ignore[operator]

    def by(name: str, label: str, help: str, counts: object) -> None:
        family(lines, f"smesher_post_{name}", "counter", help)
        for one in board.identities:
            for key, count in sorted(counts(one).items()):  # type: ignore[operator]
                lines.append(sample(f"smesher_post_{name}", {**_labels(one), label: key}, count))

    each("num_units", "gauge", "Units of the identity.", lambda one: one.identity.metadata.num_units)
    each("connected", "gauge", "1 while the node is connected.", lambda one: int(one.link.connected_since is not None))
    each("connections_total", "counter", "Connections to the node.", lambda one: one.link.connections)
    each("connection_failures_total", "counter", "Attempts that led to none.", lambda one: one.link.failures)
    family(lines, "smesher_post_phase", "gauge", "1 for the phase that the identity's proof is in.")
    for one in board.identities:
        for phase in Phase:
            labels = {**_labels(one), "phase": phase.value}
            lines.append(sample("smesher_post_phase", labels, int(one.desk.phase is phase)))
    by("answers_total", "answer", "Answers to requests of the node.", lambda one: one.desk.requests)
    by("errors_total", "reason", "Answers that were errors.", lambda one: one.desk.refusals)
    by("proofs_total", "outcome", "Proofs that ended.", lambda one: one.desk.proofs)
    each("failed", "gauge", "1 while the last thing that happened was an error.", lambda one: int(bool(one.desk.fault)))
    each("incomplete_files", "gauge", "Data files that are missing or short.", lambda one: len(one.incomplete))
    each("wrong_labels", "gauge", "Labels known to be wrong on disk.", lambda one: len(one.wrong_labels))
    each("nonce_invalid", "gauge", "1 where the VRF nonce is none.", lambda one: int(bool(one.nonce_fault)))
    each("unreadable_files", "gauge", "Files with a read error in the last proof.", lambda one: one.read_errors)
    each("nonces_start", "gauge", "First nonce of the pass in work.", lambda one: _of(one, "first_nonce"))
    each("position_bytes", "gauge", "Bytes of the data done in the pass in work.", lambda one: _of(one, "position"))
    each("k2pow_hashes", "gauge", "RandomX hashes tried for the group in work.", lambda one: _of(one, "hashes"))
    family(lines, "smesher_post_randomx", "gauge", "1 for the RandomX memory that is held.")
    for state in ("none", "building", "light", "full"):
        lines.append(sample("smesher_post_randomx", {"state": state}, int(board.randomx == state)))
    return ("\n".join(lines) + "\n").encode()


def _labels(one: One) -> dict[str, str]:
    return {"node_id": one.identity.metadata.node_id.hex()}


def _of(one: One, field: str) -> float:
    return float(getattr(one.progress, field)) if one.progress is not None else 0.0
