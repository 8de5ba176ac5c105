"""Scenarios as documents, and a failing one made smaller."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from typing import Any

import pytest

from node.contract.instants import Instant
from node.sim.links import Siege, Split
from node.sim.minimise import as_test, minimise
from node.sim.running import Outcome
from node.sim.scenario import (
    BadLines,
    BadScenario,
    Cheat,
    CrashOf,
    Eclipse,
    Event,
    Partition,
    Scenario,
    Skew,
    from_mapping,
)
from node.sim.scenarios import SCENARIOS, drawn
from node.sim.staging import groups, stage
from node.sim.watch import Violation

from .small import TIME

DOCUMENT = """
name = "everything"
nodes = 6
layers = 30
mode = "full"
degree = 4
events = [
  { kind = "partition", begin = 20, end = 22.5, shares = [0.3, 0.7] },
  { kind = "eclipse", begin = 17, end = 18, node = 2, peers = [1] },
  { kind = "bad-lines", begin = 0, end = 99, loss = 0.1, nodes = [0, 1] },
  { kind = "skew", node = 1, offset_s = -2.5, drift_ppm = 50 },
  { kind = "crash", at = 18.5, node = 0, how = "power", write = 2 },
  { kind = "cheat", node = 5, role = "equivocator" },
]
"""


def test_a_document_becomes_a_scenario() -> None:
    assert from_mapping(tomllib.loads(DOCUMENT)) == Scenario(
        "everything",
        nodes=6,
        layers=30,
        mode="full",
        degree=4,
        events=(
            Partition(20.0, 22.5, (0.3, 0.7)),
            Eclipse(17.0, 18.0, 2, (1,)),
            BadLines(0.0, 99.0, loss=0.1, nodes=(0, 1)),
            Skew(1, -2.5, 50),
            CrashOf(18.5, 0, "power", write=2),
            Cheat(5, "equivocator"),
        ),
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"nodes": 0}, "nodes is 0, expected 1 to 10000"),
        ({"nodes": "many"}, "^nodes is 'many', expected a whole number"),
        ({"node": 3}, "no field 'node', expected some of"),
        ({"mode": "half"}, "mode is 'half', expected shared or full"),
        ({"events": 3}, "events is 3, expected a list"),
        ({"events": [{"begin": 1}]}, r"events\[0\].kind is None, expected one of partition"),
        ({"events": ["crash"]}, r"events\[0\].kind is None"),
        ({"events": [{"kind": "crash"}]}, r"events\[0\] is not complete.*'at' and 'node'"),
        ({"events": [{"kind": "crash", "at": 1, "node": 1, "how": "fire"}]}, "how is 'fire', expected kill or power"),
        ({"events": [{"kind": "cheat", "node": 1, "role": "thief"}]}, "role is 'thief', expected one of honest"),
        ({"events": [{"kind": "partition", "begin": 3, "end": 2}]}, "from 3.0 to 2.0, expected a later end"),
        ({"events": [{"kind": "partition", "begin": 3, "end": 4, "shares": 1}]}, "shares is 1, expected a list"),
        ({"events": [{"kind": "partition", "begin": 3, "end": 4, "shares": [0.9, 0.9]}]}, "parts above 0"),
        ({"events": [{"kind": "bad-lines", "begin": 3, "end": 4, "loss": 2}]}, "loss is 2.0, expected a probability"),
        ({"layers": 10**20}, "layers is 100000000000000000000, expected 1 to 100000"),
        ({"degree": 10**9}, "degree is 1000000000, expected 0 to 1000"),
        ({"transactions": 10**9}, "transactions is 1000000000, expected 0 to 10000"),
        ({"name": "two\nlines"}, "name is 'two.*lines', expected 1 to 100 printable characters"),
        ({"name": ""}, "name is '', expected 1 to 100 printable characters"),
        ({"events": [{"kind": []}]}, r"events\[0\].kind is \[\], expected one of partition"),
        ({"events": [{"kind": "skew", "node": 0, "drift_ppm": -(10**6)}]}, "drift_ppm is -1000000, expected -100000"),
        ({"events": [{"kind": "skew", "node": 0, "offset_s": math.nan}]}, "offset_s is nan, expected -86400 to 86400"),
        ({"events": [{"kind": "skew", "node": -1}]}, r"events\[0\] names node -1, expected 0 or more"),
        ({"events": [{"kind": "skew", "node": 8}]}, r"events\[0\] names node 8, expected 0 to 7"),
        ({"events": [{"kind": "crash", "node": 0, "at": -5}]}, "at is -5.0, expected 0 to"),
        ({"events": [{"kind": "crash", "node": 0, "at": math.nan}]}, "at is nan, expected 0 to"),
        ({"events": [{"kind": "crash", "node": 0, "at": 40}]}, r"events\[0\] begins when the run is over"),
        ({"events": [{"kind": "crash", "node": 0, "at": 1, "downtime_s": math.inf}]}, "downtime_s is inf, expected 0"),
        ({"events": [{"kind": "crash", "node": 0, "at": 1, "write": -1}]}, "write is -1, expected 0 to"),
        ({"events": [{"kind": "partition", "begin": 1, "end": math.inf}]}, "end is inf, expected 0 to"),
        ({"events": [{"kind": "partition", "begin": 1, "end": 2, "shares": [math.nan]}]}, "parts above 0"),
        ({"events": [{"kind": "eclipse", "begin": 1, "end": 2, "node": 0, "peers": [-5]}]}, "names node -5"),
        ({"events": [{"kind": "bad-lines", "begin": 1, "end": 2, "hold_s": -5}]}, "hold_s is -5.0, expected 0 to"),
        ({"events": [{"kind": "bad-lines", "begin": 1, "end": 2, "nodes": [77]}]}, "names node 77, expected 0 to 7"),
        ({"events": [{"kind": "cheat", "node": 1, "role": role} for role in ("liar", "grinder")]}, "node 1 a role 2"),
    ],
)
def test_a_document_that_is_none_is_refused_by_the_name_of_the_field(document: dict[str, Any], message: str) -> None:
    with pytest.raises(BadScenario, match=message):
        from_mapping(document)


def test_scenarios_with_a_name_and_drawn_ones_can_be_run() -> None:
    for scenario in (*SCENARIOS.values(), *(drawn(seed) for seed in range(200))):
        scenario.check()
        stage(scenario, TIME)
        assert len(scenario.cheats) * 3 < scenario.nodes, scenario
    assert drawn(3) == drawn(3) and drawn(3) != drawn(4)


def test_parts_of_a_network_have_all_nodes_once() -> None:
    assert groups(7, (0.5, 0.5)) == ((0, 1, 2, 3), (4, 5, 6))
    assert groups(10, (0.2, 0.3, 0.5)) == ((0, 1), (2, 3, 4), (5, 6, 7, 8, 9))
    assert groups(2, (0.2, 0.8)) == ((), (0, 1))


def test_a_smaller_run_leaves_out_what_has_no_place() -> None:
    scenario = from_mapping(tomllib.loads(DOCUMENT))
    smaller = scenario.with_size(2, 18)
    assert smaller.events == (BadLines(0.0, 99.0, loss=0.1, nodes=(0, 1)), Skew(1, -2.5, 50))
    assert not any(isinstance(one, Split | Siege) for one in stage(smaller, TIME).faults)


def fails_with(*needed: Event, nodes: int, layer: int) -> Any:
    """A run that fails in a layer if these events are in it and there are so many nodes; and otherwise elsewhere."""

    def run(scenario: Scenario, seed: int) -> Outcome:
        is_bad = set(needed) <= set(scenario.events) and scenario.nodes >= nodes and scenario.layers >= layer
        violation = Violation("rule" if is_bad else "another rule", Instant(0), 1, "something happened")
        return Outcome(scenario, seed, (violation,), min(layer, scenario.layers), "", 0, 0)

    return run


def test_a_failing_run_is_made_as_small_as_it_goes() -> None:
    scenario = replace(drawn(11, nodes=20, layers=60), degree=6, mode="full", transactions=3)
    needed = Skew(2, 1.5), CrashOf(20.0, 1)
    scenario = replace(scenario, events=(needed[0], *scenario.events, needed[1], Partition(18.0, 20.0)))
    run = fails_with(*needed, nodes=5, layer=23)
    found = minimise(run(scenario, 7), run, most=200)
    assert found.outcome.scenario == Scenario(scenario.name, nodes=5, layers=23, transactions=0, events=needed)
    assert found.tried < 100


def test_it_stops_after_so_many_runs() -> None:
    run = fails_with(nodes=2, layer=1)
    assert minimise(run(drawn(1), 1), run, most=3).tried == 3


def test_what_holds_cannot_be_made_smaller() -> None:
    with pytest.raises(ValueError, match="nothing to make smaller"):
        minimise(Outcome(drawn(1), 1, (), 1, "", 0, 0), fails_with(nodes=1, layer=1))


@pytest.mark.parametrize("words", ["found", 'it is "so"', "back\\slash", '"""'])
def test_the_smallest_run_is_printed_as_a_test_that_says_the_same(words: str) -> None:
    scenario = replace(from_mapping(tomllib.loads(DOCUMENT)), name=words)
    violation = Violation("one state root", Instant(0), 3, f"layer 20 is verified with another state: {words}")
    text = as_test(Outcome(scenario, 42, (violation,), 21, "", 0, 0))
    asked: list[tuple[Scenario, int]] = []

    def simulate(scenario: Scenario, seed: int) -> Outcome:
        asked.append((scenario, seed))
        return Outcome(scenario, seed, (), 21, "", 0, 0)

    names: dict[str, Any] = {**globals(), "simulate": simulate}
    exec(compile(text, "found", "exec"), names)
    names["test_one_state_root_with_seed_42"]()
    assert asked == [(scenario, 42)]
