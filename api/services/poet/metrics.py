"""The metrics of a PoET server, with the names, labels and buckets of the reference, as Prometheus reads them.

Calls over HTTP count as calls of the gRPC methods behind them, as the reference's gateway makes them. What only
a Go program has (`go_*`) is left out; what is ours begins with `smesher_poet_`. Specified in protocol 02-poet,
section 9.2.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from api.services.poet.service import PoetService
from prover.poet.server.registration import Code

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=values"
POET_SERVICE = "rpc.api.v1.PoetService"
CONFIGURATION_SERVICE = "rpc.api.v1.ConfigurationService"

METHODS = (
    (POET_SERVICE, "Info"),
    (POET_SERVICE, "PowParams"),
    (POET_SERVICE, "Proof"),
    (POET_SERVICE, "Submit"),
    (CONFIGURATION_SERVICE, "ReloadTrustedKeys"),
)
SERVICE_OF = {method: service for service, method in METHODS}


def _bounds(first: float, factor: float, count: int) -> tuple[float, ...]:
    """Multiplied step by step, so that the last digits are the reference's."""
    bounds = [first]
    while len(bounds) < count:
        bounds.append(bounds[-1] * factor)
    return tuple(bounds)


BATCH_BUCKETS = _bounds(0.001, 1.5, 20)
HANDLING_BUCKETS = _bounds(0.001, 2, 16)

CODE_NAMES = {
    Code.OK: "OK",
    Code.CANCELED: "Canceled",
    Code.UNKNOWN: "Unknown",
    Code.INVALID_ARGUMENT: "InvalidArgument",
    Code.DEADLINE_EXCEEDED: "DeadlineExceeded",
    Code.NOT_FOUND: "NotFound",
    Code.ALREADY_EXISTS: "AlreadyExists",
    Code.RESOURCE_EXHAUSTED: "ResourceExhausted",
    Code.FAILED_PRECONDITION: "FailedPrecondition",
    Code.UNIMPLEMENTED: "Unimplemented",
    Code.INTERNAL: "Internal",
    Code.UNAVAILABLE: "Unavailable",
    Code.UNAUTHENTICATED: "Unauthenticated",
}


class Histogram:
    """Counts of values up to each bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * len(bounds)
        self.total = 0
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One more value."""
        self.total += 1
        self.sum += value
        for index, bound in enumerate(self.bounds):
            if value <= bound:
                self.counts[index] += 1
                break

    def lines(self, name: str, labels: Mapping[str, str]) -> Iterable[str]:
        """The samples of this histogram."""
        running = 0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            running += count
            yield sample(f"{name}_bucket", {**labels, "le": number(bound)}, running)
        yield sample(f"{name}_bucket", {**labels, "le": "+Inf"}, self.total)
        yield sample(f"{name}_sum", labels, self.sum)
        yield sample(f"{name}_count", labels, self.total)


class Metrics:
    """What is counted, and its text."""

    def __init__(self, service: PoetService) -> None:
        self._service = service
        self._handled: dict[tuple[str, Code], int] = {}
        self._handling = {method: Histogram(HANDLING_BUCKETS) for _, method in METHODS}
        self._batches = Histogram(BATCH_BUCKETS)
        self._scrapes = 0
        self._started = _process_start()
        service.on_batch = self._batches.observe

    def count(self, method: str, code: Code, seconds: float) -> None:
        """A call was answered."""
        key = (method, code)
        self._handled[key] = self._handled.get(key, 0) + 1
        self._handling[method].observe(seconds)

    def text(self) -> bytes:
        """The exposition."""
        lines: list[str] = []
        self._grpc(lines)
        self._poet(lines)
        self._process(lines)
        self._scrapes += 1
        return ("\n".join(lines) + "\n").encode()

    def _grpc(self, lines: list[str]) -> None:
        totals = {
            method: sum(count for (one, _), count in self._handled.items() if one == method) for _, method in METHODS
        }
        family(
            lines,
            "grpc_server_handled_total",
            "counter",
            "Total number of RPCs completed on the server, regardless of success or failure.",
        )
        for (method, code), count in sorted(self._handled.items()):
            lines.append(sample("grpc_server_handled_total", {"grpc_code": CODE_NAMES[code], **_method(method)}, count))
        family(
            lines,
            "grpc_server_handling_seconds",
            "histogram",
            "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.",
        )
        for _, method in METHODS:
            lines += self._handling[method].lines("grpc_server_handling_seconds", _method(method))
        for name, help in (
            ("grpc_server_msg_received_total", "Total number of RPC stream messages received on the server."),
            ("grpc_server_msg_sent_total", "Total number of gRPC stream messages sent by the server."),
            ("grpc_server_started_total", "Total number of RPCs started on the server."),
        ):
            family(lines, name, "counter", help)
            for _, method in METHODS:
                count = totals[method]
                if name == "grpc_server_msg_sent_total":
                    count = self._handled.get((method, Code.OK), 0)
                lines.append(sample(name, _method(method), count))

    def _poet(self, lines: list[str]) -> None:
        machine, progress = self._service.machine, self._service.progress
        for name, counts, what in (
            ("poet_registration_with_cert_total", machine.counts.cert, "a certificate"),
            ("poet_registration_with_pow_total", machine.counts.pow, "a PoW"),
        ):
            family(lines, name, "counter", f"Number of registrations with {what}")
            lines += [sample(name, {"result": result}, count) for result, count in sorted(counts.items())]
        family(lines, "poet_round_batch_write_latency_seconds", "histogram", "Latency of batch write operations")
        lines += self._batches.lines("poet_round_batch_write_latency_seconds", {})
        if progress.round_id is not None:
            family(lines, "poet_round_leaves_total", "counter", "Number of generated leaves in a round")
            lines.append(sample("poet_round_leaves_total", {"id": str(progress.round_id)}, progress.num_leaves))
        family(lines, "poet_round_members_total", "counter", "Number of members in a round")
        for round_id, members in sorted(self._service.members_without_proof().items()):
            lines.append(sample("poet_round_members_total", {"id": str(round_id)}, members))
        family(lines, "smesher_poet_leaves_per_second", "gauge", "Leaves a second of the round in work")
        lines.append(sample("smesher_poet_leaves_per_second", {}, progress.leaves_per_second))
        family(lines, "smesher_poet_fault", "gauge", "1 while something keeps proofs or registrations from disk")
        fault = bool(self._service.fault or progress.problem)
        lines.append(sample("smesher_poet_fault", {}, int(fault)))

    def _process(self, lines: list[str]) -> None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
        virtual, resident = _memory()
        received, sent = _network()
        values: tuple[tuple[str, str, float, str], ...] = (
            ("cpu_seconds_total", "counter", time.process_time(), "Total user and system CPU time spent in seconds."),
            ("max_fds", "gauge", limit, "Maximum number of open file descriptors."),
            (
                "network_receive_bytes_total",
                "counter",
                received,
                "Number of bytes received by the process over the network.",
            ),
            ("network_transmit_bytes_total", "counter", sent, "Number of bytes sent by the process over the network."),
            ("open_fds", "gauge", _open_files(), "Number of open file descriptors."),
            ("resident_memory_bytes", "gauge", resident, "Resident memory size in bytes."),
            ("start_time_seconds", "gauge", self._started, "Start time of the process since unix epoch in seconds."),
            ("virtual_memory_bytes", "gauge", virtual, "Virtual memory size in bytes."),
            (
                "virtual_memory_max_bytes",
                "gauge",
                address_space if address_space >= 0 else 2.0**64,
                "Maximum amount of virtual memory available in bytes.",
            ),
        )
        for name, kind, value, help in values:
            family(lines, f"process_{name}", kind, help)
            lines.append(sample(f"process_{name}", {}, value))
        family(lines, "promhttp_metric_handler_requests_in_flight", "gauge", "Current number of scrapes being served.")
        lines.append(sample("promhttp_metric_handler_requests_in_flight", {}, 1))
        family(
            lines, "promhttp_metric_handler_requests_total", "counter", "Total number of scrapes by HTTP status code."
        )
        for code in ("200", "500", "503"):
            count = self._scrapes if code == "200" else 0
            lines.append(sample("promhttp_metric_handler_requests_total", {"code": code}, count))


def _method(method: str) -> dict[str, str]:
    return {"grpc_method": method, "grpc_service": SERVICE_OF[method], "grpc_type": "unary"}


def family(lines: list[str], name: str, kind: str, help: str) -> None:
    """The two lines before the samples of a name."""
    lines += [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]


def sample(name: str, labels: Mapping[str, str], value: float) -> str:
    """One line."""
    inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {number(value)}" if labels else f"{name} {number(value)}"


def number(value: float) -> str:
    """Whole numbers without a point, others as short as they are exact."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


PAGE = resource.getpagesize()


def _memory() -> tuple[int, int]:
    """Virtual and resident bytes of this process; zeros where the system does not tell."""
    try:
        virtual, resident = Path("/proc/self/statm").read_text().split()[:2]
    except OSError:
        return 0, 0
    return int(virtual) * PAGE, int(resident) * PAGE


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


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


def _process_start() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + _start_since_boot()


def _start_since_boot() -> float:
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return time.clock_gettime(time.CLOCK_MONOTONIC)
