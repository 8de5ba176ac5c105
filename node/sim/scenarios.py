"""The scenarios that have a name, and one drawn from a seed, in which everything may go wrong at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .chance import Chance
from .roles import ROLES
from .scenario import BadLines, Cheat, CrashOf, Eclipse, Event, Partition, Scenario, Skew

QUIET = Scenario("quiet")

SCENARIOS: Mapping[str, Scenario] = {
    one.name: one
    for one in (
        QUIET,
        Scenario("partition", layers=48, events=(Partition(21.0, 26.0),)),
        Scenario("minority", layers=48, events=(Partition(21.0, 26.0, (0.2, 0.8)),)),
        Scenario("eclipse", events=(Eclipse(20.0, 24.5, 1),)),
        Scenario("loss", degree=6, events=(BadLines(0.0, 1e6, loss=0.05, doubled=0.05, held=0.1),)),
        Scenario("skew", events=(Skew(0, 4.0), Skew(1, -4.0), Skew(2, 0.0, 100), Skew(3, 1.0, -100))),
        Scenario(
            "crash",
            events=(
                CrashOf(17.3, 0, "kill", 20.0),
                CrashOf(19.1, 1, "power", 60.0, write=1),
                CrashOf(22.2, 2, "power", 20.0, write=2),
                CrashOf(25.5, 3, "kill", 400.0),
            ),
        ),
        Scenario("equivocator", events=(Cheat(1, "equivocator"),)),
        Scenario("double-atx", events=(Cheat(1, "double-atx"),)),
        Scenario("conflicting-ballots", events=(Cheat(1, "conflicting-ballots"),)),
        Scenario("wrong-post", events=(Cheat(1, "wrong-post"),)),
        Scenario("withholder", events=(Cheat(1, "withholder"),)),
        Scenario("late-proposer", events=(Cheat(1, "late-proposer"),)),
        Scenario("grinder", events=(Cheat(1, "grinder"),)),
        Scenario("spammer", events=(Cheat(1, "spammer"),)),
        Scenario("replayer", events=(Cheat(1, "replayer"),)),
        Scenario("liar", events=(Cheat(1, "liar"), Eclipse(20.0, 22.0, 3))),
    )
}
"""By name."""


def drawn(seed: int, nodes: int = 8, layers: int = 40, layers_per_epoch: int = 8) -> Scenario:
    """A scenario with some of everything: fewer than a third of the nodes cheat, and all faults end in time for the
    network to come together again."""
    chance = Chance(seed, "scenario")
    first, last = 2 * layers_per_epoch + 1, max(2 * layers_per_epoch + 2, layers - layers_per_epoch)
    events: list[Event] = []

    def moment(low: float = first, high: float = last) -> float:
        return round(low + (high - low) * chance.below(1000) / 1000, 2)

    cheats = chance.sample(range(nodes), chance.below(max(1, (nodes - 1) // 3) + 1))
    dishonest = [name for name, role in ROLES.items() if not role.is_honest]
    events += [Cheat(node, chance.choice(dishonest)) for node in cheats]
    if chance.happens(0.4):
        begin = moment()
        events.append(Partition(begin, min(float(last), begin + 1 + chance.below(4)) + 0.5, (0.25, 0.75)))
    if chance.happens(0.4):
        begin = moment()
        events.append(Eclipse(begin, begin + 1 + chance.below(3), chance.below(nodes)))
    for _ in range(chance.below(3)):
        how: Literal["kill", "power"] = "power" if chance.happens(0.5) else "kill"
        downtime = float(chance.choice([5, 60, 400]))
        events.append(CrashOf(moment(), chance.below(nodes), how, downtime, chance.below(4)))
    if chance.happens(0.5):
        for node in chance.sample(range(nodes), 2):
            events.append(Skew(node, chance.between(-40, 40) / 10))
    degree = 6 if chance.happens(0.5) else 0
    if degree:
        events.append(BadLines(0.0, 1e6, loss=0.03, doubled=0.05, held=0.1, hold_s=2.0))
    mode: Literal["shared", "full"] = "full" if chance.happens(0.2) else "shared"
    return Scenario(
        f"drawn-{seed}",
        nodes,
        layers,
        layers_per_epoch,
        mode,
        degree,
        chance.below(4),
        tuple(events),
    )
