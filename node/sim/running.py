"""A run from beginning to end: a scenario, a seed, and what came of it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from protocol.codec.sharing import sharing

from .company import Company
from .invariants.base import Invariant
from .scenario import Scenario
from .staging import Recipe, world_of
from .watch import Violation, Watcher
from .world import World

COLLECTED_EVERY = 100_000
"""Objects from one search for circles among the young ones to the next. Nodes leave next to none behind, and Python's
own number, 700, costs a tenth of the time of a run."""


@contextmanager
def rare_collection() -> Iterator[None]:
    """While it lasts, Python seldom looks for circles of objects that nobody holds."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECTED_EVERY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    scenario: Scenario
    seed: int
    violations: tuple[Violation, ...]
    """The first one first; the run ends with the layer in which it came up."""
    layer: int
    """The layer at whose beginning it ended."""
    digest: str
    """Of everything that happened."""
    turns: int
    messages: int

    @property
    def holds(self) -> bool:
        """Whether nothing happened that must not."""
        return not self.violations


@dataclass(slots=True)
class Run:
    """A run that can be looked at while it goes on."""

    scenario: Scenario
    seed: int
    world: World
    violations: list[Violation] = field(default_factory=list)
    on_layer: Callable[[World], None] = lambda world: None

    def finish(self) -> Outcome:
        """To its end, or to the end of the layer in which something happened that must not."""
        world = self.world
        with rare_collection(), sharing() if self.scenario.mode == "shared" else nullcontext():
            world.start()
            for layer in range(1, self.scenario.layers + 1):
                world.run_until(layer)
                self.on_layer(world)
                if self.violations:
                    break
            if not self.violations:
                world.end()
        log = world.log
        layer = int(world.time.layer_at(world.now))
        return Outcome(self.scenario, self.seed, tuple(self.violations), layer, log.digest(), log.turns, log.messages)


def prepare(
    scenario: Scenario,
    seed: int,
    recipe: Recipe,
    invariants: Sequence[Invariant],
    watchers: Sequence[Watcher] = (),
) -> Run:
    """A run that has not begun."""
    company = Company()
    world = world_of(scenario, seed, recipe, (company, *invariants, *watchers))
    company.watch(world)
    run = Run(scenario, seed, world)
    for invariant in invariants:
        invariant.attach(world, company, run.violations.append)
    return run
