"""From a run that fails to the smallest one found that fails in the same way, and from that to a test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from .running import Outcome
from .scenario import Scenario

LEAST_NODES = 2


@dataclass(frozen=True, slots=True)
class Smallest:
    """What was found."""

    outcome: Outcome
    tried: int
    """Runs that it took."""


def minimise(failed: Outcome, run: Callable[[Scenario, int], Outcome], most: int = 60) -> Smallest:
    """Leave out events, nodes and layers as long as the same invariant is violated. most: runs that are tried.

    Raises ValueError for an outcome that has not failed.
    """
    if failed.holds:
        raise ValueError("nothing to make smaller: the run violates no invariant")
    invariant = failed.violations[0].invariant
    best, tried = failed, 0
    improved = True
    while improved and tried < most:
        improved = False
        for candidate in _smaller(best):
            if tried >= most:
                break
            tried += 1
            found = run(candidate, failed.seed)
            if not found.holds and found.violations[0].invariant == invariant:
                best, improved = found, True
                break
    return Smallest(best, tried)


def _smaller(outcome: Outcome) -> Iterator[Scenario]:
    """Scenarios with less in them, those first that leave out most."""
    scenario = outcome.scenario
    if outcome.layer < scenario.layers:
        yield scenario.with_size(scenario.nodes, outcome.layer)
    events = scenario.events
    if len(events) > 1:
        half = len(events) // 2
        yield replace(scenario, events=events[:half])
        yield replace(scenario, events=events[half:])
    for number in range(len(events)):
        yield replace(scenario, events=events[:number] + events[number + 1 :])
    if scenario.nodes // 2 >= LEAST_NODES:
        yield scenario.with_size(scenario.nodes // 2, scenario.layers)
    if scenario.nodes > LEAST_NODES:
        yield scenario.with_size(scenario.nodes - 1, scenario.layers)
    if scenario.transactions:
        yield replace(scenario, transactions=0)
    if scenario.degree:
        yield replace(scenario, degree=0)
    if scenario.mode == "full":
        yield replace(scenario, mode="shared")
    if scenario.layers > 1:
        yield scenario.with_size(scenario.nodes, scenario.layers - 1)


def as_test(outcome: Outcome) -> str:
    """A test that fails as this run did, to be put into `tests/node/sim/test_found.py`."""
    scenario, first = outcome.scenario, outcome.violations[0]
    events = "".join(f"            {event!r},\n" for event in scenario.events)
    listed = f"(\n{events}        )" if events else "()"
    name = "".join(letter if letter.isalnum() else "_" for letter in first.invariant)
    said = str(first).replace("\\", "\\\\").replace('"', '\\"')
    return (
        f"def test_{name}_with_seed_{outcome.seed}() -> None:\n"
        f'    """Found by `smesher simulate`. {said}"""\n'
        f"    scenario = Scenario(\n"
        f"        {json.dumps(scenario.name, ensure_ascii=False)},\n"
        f"        nodes={scenario.nodes},\n"
        f"        layers={scenario.layers},\n"
        f"        layers_per_epoch={scenario.layers_per_epoch},\n"
        f'        mode="{scenario.mode}",\n'
        f"        degree={scenario.degree},\n"
        f"        transactions={scenario.transactions},\n"
        f"        events={listed},\n"
        f"    )\n"
        f"    assert simulate(scenario, {outcome.seed}).violations == ()\n"
    )
