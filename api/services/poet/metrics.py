"""The metrics of a PoET server, with the names, labels and buckets of the reference.

Calls over HTTP count as calls of the gRPC methods behind them, as the reference's gateway makes them. What only a Go
program has (`go_*`) is left out; what is ours begins with `smesher_poet_`. Specified in protocol 02-poet, section 9.2.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import Histogram, ProcessCollector
from prometheus_client.metrics_core import Metric

from api.edge import metrics
from api.edge.metrics import counter, gauge, one
from api.edge.rpc import Status
from api.services.poet.calls import CONFIGURATION_SERVICE, POET_SERVICE
from api.services.poet.service import PoetService

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=values"
METHODS = tuple(
    (service.full_name, name)
    for service in (POET_SERVICE, CONFIGURATION_SERVICE)
    for name in sorted(service.methods_by_name)
)
SERVICE_OF = {method: service for service, method in METHODS}
METHOD_LABELS = ("grpc_method", "grpc_service", "grpc_type")


def _bounds(first: float, factor: float, count: int) -> tuple[float, ...]:
    """Multiplied step by step, so that the last digits are the reference's."""
    bounds = [first]
    while len(bounds) < count:
        bounds.append(bounds[-1] * factor)
    return tuple(bounds)


BATCH_BUCKETS = _bounds(0.001, 1.5, 20)
HANDLING_BUCKETS = _bounds(0.001, 2, 16)


def code_name(status: Status) -> str:
    """As gRPC's metrics name a code: `InvalidArgument`."""
    if status is Status.OK:
        return "OK"
    return "Canceled" if status is Status.CANCELLED else status.name.title().replace("_", "")


class Metrics:
    """What is counted, and its text."""

    def __init__(self, service: PoetService) -> None:
        self._service = service
        self._scrapes = 0
        self._registry = registry = metrics.registry(self._collect)
        self._counts: Counter[tuple[str, Status]] = Counter()
        handling = Histogram(
            "grpc_server_handling_seconds",
            "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.",
            METHOD_LABELS,
            buckets=HANDLING_BUCKETS,
            registry=registry,
        )
        self._observe = {method: handling.labels(*_labels(method).values()).observe for _, method in METHODS}
        batches = Histogram(
            "poet_round_batch_write_latency_seconds",
            "Latency of batch write operations",
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        service.on_batch = batches.observe
        ProcessCollector(registry=registry)

    def count(self, method: str, status: Status, seconds: float) -> None:
        """A call was answered; of services that every listener has nothing is told."""
        name = method.rpartition("/")[2]
        if name in self._observe:
            self._counts[name, status] += 1
            self._observe[name](seconds)

    def text(self) -> bytes:
        """The exposition."""
        text = metrics.exposition(self._registry)
        self._scrapes += 1
        return text

    def _calls(self) -> Iterable[Metric]:
        handled = [
            ({"grpc_code": code_name(code), **_labels(method)}, count) for (method, code), count in self._counts.items()
        ]
        yield counter(
            "grpc_server_handled_total",
            "Total number of RPCs completed on the server, regardless of success or failure.",
            handled,
        )
        all_of: Counter[str] = Counter()
        for (method, _), count in self._counts.items():
            all_of[method] += count
        answered = {method: self._counts[method, Status.OK] for _, method in METHODS}
        for name, counts, help in (
            ("msg_received", all_of, "Total number of RPC stream messages received on the server."),
            ("msg_sent", answered, "Total number of gRPC stream messages sent by the server."),
            ("started", all_of, "Total number of RPCs started on the server."),
        ):
            yield counter(
                f"grpc_server_{name}_total", help, [(_labels(method), counts[method]) for _, method in METHODS]
            )

    def _collect(self) -> Iterator[Metric]:
        yield from self._calls()
        yield from self._poet()
        yield from self._ours()
        yield from self._process()

    def _poet(self) -> Iterable[Metric]:
        machine, progress = self._service.machine, self._service.progress
        for name, counts, what in (
            ("poet_registration_with_cert_total", machine.counts.cert, "a certificate"),
            ("poet_registration_with_pow_total", machine.counts.pow, "a PoW"),
        ):
            results = [({"result": result}, count) for result, count in sorted(counts.items())]
            yield counter(name, f"Number of registrations with {what}", results)
        if progress.round_id is not None:
            leaves = [({"id": str(progress.round_id)}, progress.num_leaves)]
            yield counter("poet_round_leaves_total", "Number of generated leaves in a round", leaves)
        members = [({"id": str(key)}, count) for key, count in sorted(self._service.members_without_proof().items())]
        yield counter("poet_round_members_total", "Number of members in a round", members)

    def _ours(self) -> Iterable[Metric]:
        service = self._service
        yield gauge(
            "smesher_poet_leaves_per_second",
            "Leaves a second of the round in work",
            one(service.progress.leaves_per_second),
        )
        fault = bool(service.fault or service.progress.problem)
        yield gauge("smesher_poet_fault", "1 while something keeps proofs or registrations from disk", one(int(fault)))
        conflicts = service.conflicts
        yield counter(
            "smesher_poet_conflicting_registrations_total",
            "Submits of a key that has registered another challenge",
            one(conflicts.total),
        )
        yield gauge(
            "smesher_poet_conflicts_per_minute",
            "Conflicting registrations a minute, over the last ten",
            one(conflicts.per_minute(service.clock())),
        )
        yield counter(
            "smesher_poet_clock_jumps_total", "Jumps of the wall clock by more than 2 s", one(service.time.jumps)
        )
        yield gauge(
            "smesher_poet_clock_unsteady", "1 while rounds wait for the clock", one(int(bool(service.clock_problem)))
        )

    def _process(self) -> Iterable[Metric]:
        received, sent = _network()
        address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
        yield counter(
            "process_network_receive_bytes_total",
            "Number of bytes received by the process over the network.",
            one(received),
        )
        yield counter(
            "process_network_transmit_bytes_total", "Number of bytes sent by the process over the network.", one(sent)
        )
        yield gauge(
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
            one(address_space if address_space >= 0 else 2.0**64),
        )
        yield gauge("promhttp_metric_handler_requests_in_flight", "Current number of scrapes being served.", one(1))
        yield counter(
            "promhttp_metric_handler_requests_total",
            "Total number of scrapes by HTTP status code.",
            [({"code": code}, self._scrapes if code == "200" else 0) for code in ("200", "500", "503")],
        )


def _labels(method: str) -> dict[str, str]:
    return {"grpc_method": method, "grpc_service": SERVICE_OF[method], "grpc_type": "unary"}


def _network() -> tuple[int, int]:
    """Bytes received and sent, over all interfaces of this process's network."""
    try:
        rows = Path("/proc/self/net/netstat").read_text().splitlines()
    except OSError:
        return 0, 0
    for names, values in zip(rows[::2], rows[1::2]):
        if names.startswith("IpExt:"):
            found = dict(zip(names.split()[1:], values.split()[1:], strict=True))
            return int(found.get("InOctets", 0)), int(found.get("OutOctets", 0))
    return 0, 0
