"""Figures of a certifier as Prometheus reads them, with the names of the reference: prefix `certifier`.

Specified in protocol 01-post-tools, section 6.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from api.edge import metrics

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
KNOWN_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
LABELS = ("method", "status", "endpoint")


class Metrics:
    """Counts of one certifier; used from its loop only."""

    def __init__(self) -> None:
        self._registry = registry = metrics.registry()
        self._requests = Counter("certifier_http_requests_total", "Requests answered.", LABELS, registry=registry)
        pending = Gauge(
            "certifier_http_requests_pending", "Requests in work.", ("method", "endpoint"), registry=registry
        )
        self.pending = pending.labels("POST", "/certify")
        """Proofs that wait or are being checked."""
        self._seconds = Histogram(
            "certifier_http_requests_duration_seconds",
            "Seconds from a request to its answer.",
            LABELS,
            buckets=BUCKETS_S,
            registry=registry,
        )

    def count(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """A request was answered. Foreign words stand for themselves in no figure: anybody can send them."""
        labels = (method if method in KNOWN_METHODS else "other", str(status), endpoint)
        self._requests.labels(*labels).inc()
        self._seconds.labels(*labels).observe(seconds)

    def text(self) -> bytes:
        """Everything, in the text format."""
        return metrics.exposition(self._registry)
