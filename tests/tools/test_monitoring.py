"""Prometheus and Grafana are told to ask for figures that exist; units and containers have flags that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from api.config.load import flags

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
SOURCE = (PACKAGING.parent / "api" / "services" / "node" / "metrics.py").read_text()
FIGURES = {*re.findall(r'"((?:smesher|spacemesh|smh)_\w+)"', SOURCE), "up"}
PROCESS = {"process_start_time_seconds", "process_resident_memory_bytes"}
"""Of the library that tells them."""
WORDS = {
    *(
        "sum",
        "by",
        "rate",
        "increase",
        "le",
        "histogram_quantile",
        "unless",
        "and",
        "ignoring",
        "predict_linear",
        "changes",
    ),
    *("m", "h", "d", "e9", "e"),
}
"""Of the language of questions."""


def asked(question: str) -> set[str]:
    """The figures in a question."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)|ignoring\([^)]*\)", " ", question)
    names = set(re.findall(r"[a-zA-Z_]\w*", bare)) - WORDS
    return {name.removesuffix("_bucket") for name in names}


def rules() -> list[dict[str, object]]:
    document = yaml.safe_load((PACKAGING / "prometheus" / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_asks_for_figures_that_there_are_and_says_what_to_do(rule: dict[str, object]) -> None:
    assert asked(str(rule["expr"])) <= FIGURES | PROCESS
    annotations = rule["annotations"]
    assert isinstance(annotations, dict)
    assert annotations["summary"].endswith(".") or "}}" in annotations["summary"]
    assert annotations["description"]


def test_the_dashboard_shows_figures_that_there_are() -> None:
    document = json.loads((PACKAGING / "grafana" / "dashboards" / "node.json").read_text())
    seen = set()
    for panel in document["panels"]:
        for target in panel["targets"]:
            assert asked(target["expr"]) <= FIGURES | PROCESS, panel["title"]
            seen |= asked(target["expr"])
    assert len(seen) > 20
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])


def test_every_sort_of_failure_has_an_alert() -> None:
    seen = set().union(*(asked(str(rule["expr"])) for rule in rules()))
    assert {
        "smesher_proposals_total",
        "smesher_activations_total",
        "smesher_poet_registrations_total",
        "smesher_queue_refused_total",
        "smesher_engine_failures_total",
        "smesher_engine_lives_total",
        "smesher_convicted_total",
        "spacemesh_p2p_total_peers",
        "spacemesh_syncer_sync_state",
    } <= seen


def test_units_and_containers_start_a_node_with_flags_that_there_are() -> None:
    known = {f"--{setting.flag}" for setting in flags()} | {"--config"}
    compose = yaml.safe_load((PACKAGING / "compose.yaml").read_text())
    unit = (PACKAGING / "smesher-node.service").read_text()
    started = re.search(r"^ExecStart=\S+ (.*)$", unit, re.MULTILINE)
    assert started is not None
    for words in (compose["services"]["node"]["command"], started[1].split()):
        assert words[0] == "node"
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known
    assert "Restart=always" in unit and "MemoryHigh=" in unit and "LimitNOFILE=" in unit


def test_the_containers_mount_what_is_there() -> None:
    compose = yaml.safe_load((PACKAGING / "compose.yaml").read_text())
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or (PACKAGING / source).exists(), volume
    for service in compose["services"].values():
        for port in service.get("ports", ()):
            assert str(port).startswith(("127.0.0.1:", "7513")), "only peers are for other machines"
