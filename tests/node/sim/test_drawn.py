"""Fifty networks drawn from seeds: eight nodes for five epochs of eight layers, in which anything may go wrong at once.

Each is a run of its own, of some seconds, so that they may run side by side. `make soak` runs a thousand others.
"""

from __future__ import annotations

from collections import Counter
from itertools import count, islice

import pytest

from node.sim.roles import ROLES
from node.sim.scenario import Scenario
from node.sim.scenarios import drawn
from node.sim.simulate import simulate

NODES, EPOCHS, EPOCH = 8, 5, 8
COUNT, OF_EACH_ROLE = 50, 5
DISHONEST = {name for name, role in ROLES.items() if not role.is_honest}


def scenario_of(seed: int) -> Scenario:
    return drawn(seed, NODES, EPOCHS * EPOCH, EPOCH)


def chosen() -> list[int]:
    """The first seeds that bring a role which is not played often enough yet, then the first of all others."""
    played: Counter[str] = Counter()
    taken: list[int] = []
    for seed in count(1):
        roles = set(scenario_of(seed).cheats.values())
        if any(played[role] < OF_EACH_ROLE for role in roles):
            taken.append(seed)
            played.update(roles)
        if all(played[role] >= OF_EACH_ROLE for role in DISHONEST):
            break
    others = (seed for seed in count(1) if seed not in taken)
    return sorted([*taken, *islice(others, COUNT - len(taken))])


SEEDS = chosen()


def test_everything_goes_wrong_often_enough() -> None:
    scenarios = [scenario_of(seed) for seed in SEEDS]
    played = Counter(role for scenario in scenarios for role in set(scenario.cheats.values()))
    assert len(SEEDS) == COUNT and set(played) == DISHONEST
    assert min(played.values()) >= OF_EACH_ROLE
    assert sum(scenario.mode == "full" for scenario in scenarios) >= 5
    events = Counter(kind for scenario in scenarios for kind in {type(event).__name__ for event in scenario.events})
    assert min(events[kind] for kind in ("Partition", "Eclipse", "CrashOf", "Skew", "BadLines")) >= 10


@pytest.mark.parametrize("seed", SEEDS)
def test_all_invariants_hold(seed: int) -> None:
    outcome = simulate(scenario_of(seed), seed)
    assert outcome.violations == ()
    assert outcome.layer == EPOCHS * EPOCH
