"""From a scenario to a world: faults as instants and numbers, clocks, roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from node.contract.instants import Instant
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime

from .clocks import SkewedClock
from .disk import Crash
from .links import Bad, LinkFault, Siege, Split
from .node import Plan
from .role import HONEST, Role
from .roles import ROLES
from .scenario import BadLines, Cheat, CrashOf, Eclipse, Partition, Scenario, Skew
from .watch import Watcher
from .world import CrashAt, Setting, World


@dataclass(frozen=True, slots=True)
class Staged:
    """A scenario as worlds have it."""

    faults: tuple[LinkFault, ...]
    crashes: tuple[CrashAt, ...]
    clocks: tuple[SkewedClock, ...]
    roles: tuple[Role, ...]


class Recipe(Protocol):
    """How the nodes of a network are made: all rooms, or some of them for a test."""

    def make(self, scenario: Scenario, seed: int, staged: Staged) -> tuple[Setting, list[Plan]]:
        """Setting and nodes."""

    def time(self, scenario: Scenario) -> NetworkTime:
        """Layers and epochs."""


def stage(scenario: Scenario, time: NetworkTime) -> Staged:
    """Everything that happens, in instants of the world."""

    def at(layer: float) -> Instant:
        return Instant(time.genesis_ns + int(layer * time.layer_duration_ns))

    faults: list[LinkFault] = []
    crashes: list[CrashAt] = []
    clocks = [SkewedClock(at(0))] * scenario.nodes
    roles = [HONEST] * scenario.nodes
    for event in scenario.events:
        if not scenario.has_place_for(event):
            continue
        match event:
            case Partition(begin, end, shares):
                faults.append(Split(at(begin), at(end), groups(scenario.nodes, shares)))
            case Eclipse(begin, end, node, peers):
                faults.append(Siege(at(begin), at(end), node, peers))
            case BadLines(begin, end, loss, doubled, held, hold, nodes):
                faults.append(Bad(at(begin), at(end), loss, doubled, held, int(hold * SECOND), nodes))
            case Skew(node, offset, drift):
                clocks[node] = SkewedClock(at(0), int(offset * SECOND), drift)
            case CrashOf(when, node, how, downtime, write):
                crashes.append(CrashAt(at(when), node, Crash(how), int(downtime * SECOND), write))
            case Cheat(node, role):
                roles[node] = ROLES[role]
    return Staged(tuple(faults), tuple(crashes), tuple(clocks), tuple(roles))


def groups(nodes: int, shares: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """The nodes in parts, in the order of their numbers."""
    found, begin, share = [], 0, 0.0
    for number, one in enumerate(shares):
        share += one
        end = nodes if number == len(shares) - 1 else round(nodes * share)
        found.append(tuple(range(begin, end)))
        begin = end
    return tuple(found)


def world_of(scenario: Scenario, seed: int, recipe: Recipe, watchers: Sequence[Watcher] = ()) -> World:
    """A world in which nothing has happened yet."""
    staged = stage(scenario.check(), recipe.time(scenario))
    setting, plans = recipe.make(scenario, seed, staged)
    return World(seed, setting, plans, watchers)
