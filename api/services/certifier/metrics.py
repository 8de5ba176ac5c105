"""Figures of a certifier as Prometheus reads them, with the names of the reference: prefix `certifier`.

Specified in protocol 01-post-tools, section 6.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
KNOWN_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")

Key = tuple[str, str, int]
"""Method, endpoint, status."""


class Metrics:
    """Counts of one certifier; used from its loop only."""

    def __init__(self) -> None:
        self.pending = 0
        """Proofs that wait or are being checked."""
        self._times: dict[Key, list[int]] = {}
        """How many requests fell into each bucket, the last one has no upper end."""
        self._seconds: dict[Key, float] = {}

    def count(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """A request was answered. Foreign words stand for themselves in no figure: anybody can send them."""
        key = (method if method in KNOWN_METHODS else "other", endpoint, status)
        self._times.setdefault(key, [0] * (len(BUCKETS_S) + 1))[bisect_left(BUCKETS_S, seconds)] += 1
        self._seconds[key] = self._seconds.get(key, 0.0) + seconds

    def text(self) -> bytes:
        """Everything, in the text format."""
        total, pending, times = (f"certifier_http_requests_{name}" for name in ("total", "pending", "duration_seconds"))
        lines = [f"# TYPE {total} counter"]
        lines += [f"{total}{{{_labels(key)}}} {sum(counts)}" for key, counts in self._times.items()]
        lines += [f"# TYPE {pending} gauge", f'{pending}{{method="POST",endpoint="/certify"}} {self.pending}']
        lines.append(f"# TYPE {times} histogram")
        for key, counts in self._times.items():
            for bound, below in zip((*map(str, BUCKETS_S), "+Inf"), accumulate(counts)):
                lines.append(f'{times}_bucket{{{_labels(key)},le="{bound}"}} {below}')
            lines.append(f"{times}_sum{{{_labels(key)}}} {self._seconds[key]!r}")
            lines.append(f"{times}_count{{{_labels(key)}}} {sum(counts)}")
        return ("\n".join(lines) + "\n").encode()


def _labels(key: Key) -> str:
    method, endpoint, status = key
    return f'method="{method}",status="{status}",endpoint="{endpoint}"'
