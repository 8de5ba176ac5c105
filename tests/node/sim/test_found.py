"""Seeds that once failed, as small as they could be made."""

from __future__ import annotations

from node.sim.scenario import BadLines, Cheat, CrashOf, Eclipse, Scenario, Skew
from node.sim.scenarios import drawn
from node.sim.simulate import begin, simulate
from protocol.types.ids import EpochId

FIRST = EpochId(2)
"""The first epoch with proposals."""


def test_one_state_root_with_seed_10() -> None:
    """An eclipse in epoch 2 makes two beacons for epoch 4, and half of the nodes wait with the ballots of the others:
    they verify layer 33 with different states. That is no fault of theirs, as it is none of two halves of a network."""
    scenario = Scenario(
        "drawn-10",
        nodes=8,
        layers=39,
        layers_per_epoch=8,
        mode="shared",
        degree=6,
        transactions=3,
        events=(
            Cheat(node=2, role="late-proposer"),
            Eclipse(begin=17.07, end=20.07, node=5, peers=()),
            CrashOf(at=31.31, node=3, how="kill", downtime_s=5.0, write=0),
            Skew(node=3, offset_s=-2.6, drift_ppm=0),
            Skew(node=5, offset_s=1.5, drift_ppm=0),
            BadLines(begin=0.0, end=1000000.0, loss=0.03, doubled=0.05, held=0.1, hold_s=2.0, nodes=None),
        ),
    )
    assert simulate(scenario, 10).violations == ()


def test_the_first_committee_is_that_of_the_ballots_which_came_in_time_with_seed_1891() -> None:
    """No fault of a node, but a limit of the network's own rules, and here so that it stays known: in an epoch without
    a block before it and without a published active set, the committee is what the first ballots speak for, as far
    as they are here when it is first asked for. Two cheats, of whom each counts itself, and bad lines: some nodes have
    a committee of seven and others one of eight, and hare comes to nothing. See the guide, and `node.bootstrap`."""
    run = begin(drawn(1891, 8, 40, 8), 1891)
    assert run.finish().violations == ()
    assert len({node.committee(FIRST) for node in run.world.honest}) > 1
    assert all(node.verified >= 40 - 6 for node in run.world.honest), "in later epochs committees are in blocks"
