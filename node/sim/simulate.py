"""A whole network from one scenario and one seed, with every invariant, and a record of it where one is wanted."""

from __future__ import annotations

from collections.abc import Callable

from .invariants.agreement import Distances, FrontierMoves, OneBeacon, OneStateRoot
from .invariants.base import Invariant
from .invariants.blocks import AgreedIsApplied
from .invariants.health import NobodyStops
from .invariants.ledger import SupplyConserved
from .invariants.malfeasance import DoubleSignsCaught
from .invariants.signing import NobodyHonestMarked, SignaturesStand
from .report.record import Recorder
from .running import Outcome, Run, prepare
from .scenario import Scenario
from .whole import WholeNodes, config_of
from .world import World

HEALING_EPOCHS = 4
"""After which a network that was apart agrees on everything."""


def invariants_of(scenario: Scenario, seed: int, recipe: WholeNodes) -> list[Invariant]:
    """All of them, with the numbers of this network."""
    config = config_of(seed, scenario)
    distances = Distances(config.tortoise.hdist, HEALING_EPOCHS * scenario.layers_per_epoch)
    weights = {number: recipe.units(number) for number in range(scenario.nodes)}
    return [
        NobodyStops(),
        SignaturesStand(),
        NobodyHonestMarked(),
        DoubleSignsCaught(),
        OneBeacon(),
        OneStateRoot(distances),
        FrontierMoves(distances, weights),
        AgreedIsApplied(distances, weights),
        SupplyConserved(sum(config.genesis.accounts.values())),
    ]


def begin(
    scenario: Scenario,
    seed: int,
    recorder: Recorder | None = None,
    on_layer: Callable[[World], None] = lambda world: None,
) -> Run:
    """A run that has not begun. on_layer: called when a layer has begun, by the clock of the world."""
    recipe = WholeNodes()
    watchers = () if recorder is None else (recorder,)
    run = prepare(scenario, seed, recipe, invariants_of(scenario, seed, recipe), watchers)
    run.on_layer = on_layer
    if recorder is not None:
        recorder.watch(run.world)
    return run


def simulate(scenario: Scenario, seed: int) -> Outcome:
    """A run from beginning to end."""
    return begin(scenario, seed).finish()
