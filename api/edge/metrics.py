"""Figures of every program as Prometheus reads them: a registry of its own for each, and what of it is worked out when
asked.

Counters and histograms are `prometheus_client`'s; what stands in the program's own state already is told by a function
that yields families at each reading (`scraped`). That library puts `_total` behind the name of every counter; families
whose counters have other names are a `Family` each, and are `written`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
Samples = Iterable[tuple[Mapping[str, str], float]]
"""Labels and value, for each sample of a family."""


class _Scraped(Collector):
    """Families that a function makes at each reading."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """prometheus_client: all families."""
        return self._families()

    def describe(self) -> Iterable[Metric]:
        """prometheus_client: names are not looked for at registration."""
        return ()


def registry(scraped: Callable[[], Iterable[Metric]] | None = None) -> CollectorRegistry:
    """A registry for one program."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    made = CollectorRegistry()
    if scraped is not None:
        made.register(_Scraped(scraped))
    return made


def exposition(of: CollectorRegistry) -> bytes:
    """Everything, in the text format."""
    text: bytes = generate_latest(of)
    return text


def counter(name: str, help: str, samples: Samples) -> Metric:
    """A family of counters; `name` ends with _total."""
    return _filled(CounterMetricFamily, name, help, samples)


def gauge(name: str, help: str, samples: Samples) -> Metric:
    """A family of gauges."""
    return _filled(GaugeMetricFamily, name, help, samples)


@dataclass(frozen=True, slots=True)
class Family:
    """A family whose name is written as it is."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]
    """Labels and value; labels of all samples are the same."""


def written(families: Iterable[Family]) -> bytes:
    """Families in the text format."""
    lines = []
    for family in families:
        lines += [f"# HELP {family.name} {_escaped(family.help)}", f"# TYPE {family.name} {family.kind}"]
        for labels, value in family.samples:
            named = ",".join(f'{label}="{_escaped(text, quote=True)}"' for label, text in labels.items())
            lines.append(f"{family.name}{{{named}}} {value!r}" if named else f"{family.name} {value!r}")
    return "".join(f"{line}\n" for line in lines).encode()


def _escaped(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quote else text


def one(value: float) -> Samples:
    """A single sample without labels."""
    return [({}, value)]


def _filled(kind: Any, name: str, help: str, samples: Samples) -> Metric:
    listed = list(samples)
    labels = list(listed[0][0]) if listed else []
    family: Metric = kind(name, help, labels=labels)
    for named, value in listed:
        family.add_metric([named[label] for label in labels], value)  # type: ignore[attr-defined]
    return family
