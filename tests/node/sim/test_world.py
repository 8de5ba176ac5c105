"""The world itself: the beacon among nodes that lose messages, are apart, crash, or have wrong clocks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from node.activation.tables import published
from node.contract.instants import Instant
from node.sim.disk import Crash
from node.sim.links import Bad, Latency, Siege, Split
from node.sim.network import number_of
from node.sim.world import CrashAt, World
from protocol.numbers.durations import MILLISECOND, SECOND
from protocol.types.ids import EpochId

from .small import EPOCH, TIME, beacons, small_world

EPOCHS = 5
ALWAYS = Instant(0), Instant(1 << 62)


def at(layer: float) -> Instant:
    """A moment of the world, in layers."""
    return Instant(TIME.genesis_ns + int(layer * TIME.layer_duration_ns))


def run(world: World, epochs: int = EPOCHS) -> World:
    """To the end of the epochs for which there are activations."""
    world.run_until(epochs * EPOCH)
    world.end()
    return world


def agreed(world: World, epoch: int, among: Sequence[int] | None = None) -> bytes:
    """The one beacon of an epoch among some nodes, or all."""
    found = beacons(world, epoch)
    (beacon,) = {found[number] for number in (range(len(found)) if among is None else among)}
    assert beacon is not None, f"no beacon in epoch {epoch}"
    return beacon


def test_all_nodes_take_all_activations_and_agree_on_every_beacon() -> None:
    world = run(small_world(1, 6, EPOCHS))
    assert len({agreed(world, epoch) for epoch in (3, 4, 5)}) == 3  # and each is another one
    for node in world.nodes:
        assert node.events["AtxStored"] == 6 * (EPOCHS - 1)
        assert not node.events["MachineFailed"] and not node.events["BeaconFailed"]


@pytest.mark.parametrize("seed", range(3))
def test_they_agree_though_lines_lose_double_and_hold_back_messages(seed: int) -> None:
    bad = Bad(*ALWAYS, loss=0.05, doubled=0.1, held=0.2, hold=2 * SECOND)
    world = run(small_world(seed, 8, EPOCHS, degree=6, faults=(bad,)))
    for epoch in (3, 4, 5):
        agreed(world, epoch)


def test_they_agree_though_clocks_are_wrong_by_less_than_the_grace() -> None:
    skew = {0: -4 * SECOND, 1: 4 * SECOND, 2: 2 * SECOND}
    world = run(small_world(2, 7, EPOCHS, skew=skew))
    for epoch in (3, 4, 5):
        agreed(world, epoch)


def test_halves_that_are_apart_during_a_run_agree_again_on_the_next_one() -> None:
    halves = (0, 1, 2), (3, 4, 5)
    begin, end = at(2 * EPOCH), at(2 * EPOCH + 1.9)  # over the run in epoch 2, not over the activations published in it
    world = run(small_world(3, 6, EPOCHS, faults=(Split(begin, end, halves),)))
    apart = {agreed(world, 3, half) for half in halves}
    assert len(apart) == 2
    agreed(world, 4)
    agreed(world, 5)


def test_who_is_cut_off_for_a_run_has_no_beacon_of_it_and_the_others_agree() -> None:
    world = run(small_world(4, 6, EPOCHS, faults=(Siege(at(2 * EPOCH), at(2 * EPOCH + 1.9), 0, ()),)))
    others = agreed(world, 3, range(1, 6))
    assert beacons(world, 3)[0] != others
    agreed(world, 4)


def test_one_honest_peer_is_enough_for_a_besieged_node_where_messages_are_relayed() -> None:
    siege = Siege(at(2 * EPOCH), at(2 * EPOCH + 1.9), 0, (5,))
    world = small_world(4, 6, EPOCHS, degree=6, faults=(siege,))
    assert 5 in [number_of(peer) for peer in world.network.peers(0)]
    run(world)
    for epoch in (3, 4, 5):
        agreed(world, epoch)


@pytest.mark.parametrize("kind", list(Crash))
@pytest.mark.parametrize("write", [0, 1, 2, 3])
def test_who_crashes_in_a_run_is_back_for_the_next_one(kind: Crash, write: int) -> None:
    crash = CrashAt(at(2 * EPOCH + 0.1), 2, kind, 20 * SECOND, write)
    world = run(small_world(5, 6, EPOCHS, crashes=(crash,)))
    assert world.nodes[2].lives == 2
    others = [number for number in range(6) if number != 2]
    agreed(world, 3, others)
    assert beacons(world, 3)[2] is None  # it does not take up a run that it was not in
    agreed(world, 4)
    agreed(world, 5)


@pytest.mark.parametrize("kind", list(Crash))
def test_who_crashes_while_it_publishes_publishes_the_same_again(kind: Crash) -> None:
    publishing = at(EPOCH + EPOCH // 2)
    crashes = tuple(CrashAt(Instant(publishing + k * SECOND), 1, kind, SECOND, write=1) for k in (-1, 3, 6))
    world = run(small_world(6, 4, EPOCHS, crashes=crashes))
    assert world.nodes[1].lives > 1
    identity = world.nodes[1].keys.signers()[0].identity
    for node in world.nodes:
        assert not node.events["Convicted"]
        assert node.stores is not None
        assert len(published(node.stores.view(), identity, EpochId(1))) == 1


SETTINGS = {
    "relayed": {"degree": 3, "is_shared": False},
    "everything": {
        "faults": (Bad(*ALWAYS, loss=0.1, doubled=0.1), Split(at(6), at(7), ((0, 1), (2, 3)))),
        "crashes": (CrashAt(at(8.1), 0, Crash.POWER, SECOND, 2),),
        "latency": Latency(jitter_sigma=0.5),
    },
}


def fingerprint(name: str, seed: int) -> str:
    """Of a run."""
    return run(small_world(seed, 4, 3, **SETTINGS[name]), 3).log.digest()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_seed_is_a_run_whatever_the_process(name: str) -> None:
    program = f"from tests.node.sim.test_world import fingerprint; print(fingerprint({name!r}, 7))"
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert found == {fingerprint(name, 7) + "\n"}
    assert fingerprint(name, 8) != fingerprint(name, 7)


def test_direct_and_shared_is_the_same_as_judging_for_each_node() -> None:
    shared, apart = (run(small_world(9, 4, 3, is_shared=is_shared), 3).log.digest() for is_shared in (True, False))
    assert shared == apart


def test_nothing_arrives_before_its_time_and_later_messages_overtake() -> None:
    world = small_world(1, 3, 2, latency=Latency(median=100 * MILLISECOND, distance_sigma=0, jitter_sigma=0.5))
    delays = [world.links.delays(0, 1, world.now)[0] for _ in range(1000)]
    assert min(delays) > 10 * MILLISECOND and sorted(delays) != delays
    assert 90 * MILLISECOND < sorted(delays)[500] < 110 * MILLISECOND
