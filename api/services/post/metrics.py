"""The figures of the service, as Prometheus reads them. The recorded program has none; all names are ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.metrics_core import Metric

from api.edge import metrics
from api.edge.metrics import counter, gauge
from api.services.post.machine import Phase
from api.services.post.status import One, Snapshot

Value = Callable[[One], float]


def text(snapshot: Snapshot) -> bytes:
    """The exposition."""
    return metrics.exposition(metrics.registry(lambda: _families(snapshot)))


def _families(snapshot: Snapshot) -> Iterator[Metric]:
    def each(value: Value) -> list[tuple[Mapping[str, str], float]]:
        return [(_labels(one), value(one)) for one in snapshot.identities]

    def by(label: str, counts: Callable[[One], Mapping[Any, int]]) -> list[tuple[Mapping[str, str], float]]:
        return [
            ({**_labels(one), label: key}, count)
            for one in snapshot.identities
            for key, count in sorted(counts(one).items())
        ]

    for name, help, value in GAUGES:
        yield gauge(f"smesher_post_{name}", help, each(value))
    for name, help, value in COUNTERS:
        yield counter(f"smesher_post_{name}", help, each(value))
    yield gauge(
        "smesher_post_phase",
        "1 for the phase that the identity's proof is in.",
        [
            ({**_labels(one), "phase": phase.value}, int(one.state.phase is phase))
            for one in snapshot.identities
            for phase in Phase
        ],
    )
    yield counter(
        "smesher_post_answers_total", "Answers to requests of the node.", by("answer", lambda one: one.state.requests)
    )
    yield counter(
        "smesher_post_errors_total", "Answers that were errors.", by("reason", lambda one: one.state.refusals)
    )
    yield counter("smesher_post_proofs_total", "Proofs that ended.", by("outcome", lambda one: one.state.proofs))
    yield gauge(
        "smesher_post_randomx",
        "1 for the RandomX memory that is held.",
        [({"state": mode}, int(snapshot.randomx == mode)) for mode in ("none", "building", "light", "full")],
    )


def _of(field: str) -> Value:
    """A number of the proof in work."""
    return lambda one: float(getattr(one.progress, field)) if one.progress is not None else 0.0


GAUGES: tuple[tuple[str, str, Value], ...] = (
    ("num_units", "Units of the identity.", lambda one: one.identity.metadata.num_units),
    ("connected", "1 while the node is connected.", lambda one: int(one.link.connected_since is not None)),
    ("failed", "1 while the last thing that happened was an error.", lambda one: int(bool(one.state.fault))),
    ("incomplete_files", "Data files that are missing or short.", lambda one: len(one.incomplete)),
    ("wrong_labels", "Labels known to be wrong on disk.", lambda one: len(one.wrong_labels)),
    ("nonce_invalid", "1 where the VRF nonce is none.", lambda one: int(bool(one.nonce_fault))),
    ("unreadable_files", "Files with a read error in the last proof.", lambda one: one.read_errors),
    ("nonces_start", "First nonce of the pass in work.", _of("first_nonce")),
    ("position_bytes", "Bytes of the data done in the pass in work.", _of("position")),
    ("k2pow_hashes", "RandomX hashes tried for the group in work.", _of("hashes")),
)
COUNTERS: tuple[tuple[str, str, Value], ...] = (
    ("connections_total", "Connections to the node.", lambda one: one.link.connections),
    ("connection_failures_total", "Attempts that led to none.", lambda one: one.link.failures),
)


def _labels(one: One) -> dict[str, str]:
    return {"node_id": one.identity.metadata.node_id.hex()}
