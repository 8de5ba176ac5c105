"""Each invariant sees what it is there for, and nothing where all is well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from node.activation.tables import COMMITMENTS
from node.beacon.machine import BEACONS
from node.contract.instants import Instant
from node.engine.edges import Send
from node.malfeasance.tables import PROOFS
from node.sim.invariants.agreement import OneBeacon
from node.sim.invariants.base import Invariant
from node.sim.invariants.health import NobodyStops
from node.sim.invariants.malfeasance import DoubleSignsCaught
from node.sim.invariants.signing import NobodyHonestMarked, SignaturesStand
from node.sim.role import Role
from node.sim.roles import ROLES, DoubleAtx, Liar
from node.sim.running import Run, prepare
from node.sim.scenario import Cheat, CrashOf, Scenario
from node.sim.world import World
from node.store.own import SIGNED, Kind, Slot
from node.store.view import Rows
from protocol.types.ids import EpochId

from .small import EPOCH, SmallNodes, at_layer

SCENARIO = Scenario(nodes=5, layers=3 * EPOCH + 2, layers_per_epoch=EPOCH)


def invariants() -> list[Invariant]:
    """Those for nodes without a ledger."""
    return [SignaturesStand(), NobodyHonestMarked(), NobodyStops(), OneBeacon(), DoubleSignsCaught()]


def run_of(scenario: Scenario = SCENARIO, roles: dict[int, Role] | None = None, seed: int = 1) -> Run:
    return prepare(scenario, seed, SmallNodes(5, roles or {}), invariants())


def violated(run: Run) -> set[str]:
    return {one.invariant for one in run.finish().violations}


def test_nothing_is_violated_where_all_is_well_or_a_node_crashes() -> None:
    assert violated(run_of()) == set()
    crashes = (CrashOf(6.01, 0, "power", 20.0, write=1), CrashOf(8.2, 1, "kill", 20.0))
    assert violated(run_of(replace(SCENARIO, events=crashes))) == set()


@pytest.mark.parametrize("role", [name for name, role in ROLES.items() if not role.is_honest])
def test_nothing_is_violated_among_the_honest_whatever_one_of_five_does(role: str) -> None:
    assert violated(run_of(replace(SCENARIO, events=(Cheat(0, role),)))) == set()


def test_signatures_stand_sees_another_message_for_a_slot() -> None:
    run = run_of()

    def sign_again(world: World) -> None:
        node = world.nodes[2]
        (identity,) = node.identities
        key = SIGNED.prefix + SIGNED.key.encode(Slot(identity, Kind.ATX, 1))
        assert node._own.get(key) is not None
        node._own.write([(key, b"another")], sync=True)

    run.on_layer = at_layer(EPOCH + 3, sign_again)
    assert violated(run) == {SignaturesStand.name}


def test_signatures_stand_sees_a_slot_that_was_forgotten_and_signed_anew() -> None:
    run = run_of()

    def lose_own_store(world: World) -> None:
        node = world.nodes[2]
        (identity,) = node.identities
        key = SIGNED.prefix + SIGNED.key.encode(Slot(identity, Kind.ATX, 1))
        node._own.write([(key, None)], sync=True)

    run.on_layer = at_layer(EPOCH + 3, lose_own_store)
    assert violated(run) == {SignaturesStand.name}


def test_signatures_stand_sees_a_message_that_leaves_before_it_is_noted() -> None:
    run = run_of()

    def send(world: World) -> None:
        for watcher in world.watchers:
            watcher.turned(world.nodes[0], (), (Send(1, "ax1", b"not noted"),))

    run.on_layer = at_layer(2, send)
    assert violated(run) == {SignaturesStand.name}


class TakenForHonest(DoubleAtx):
    """Its node is thought to keep to the rules."""

    is_honest = True


def test_nobody_honest_marked_sees_a_conviction() -> None:
    assert violated(run_of(roles={3: TakenForHonest()})) == {NobodyHonestMarked.name}


def test_nobody_stops_sees_an_engine_that_does() -> None:
    run = run_of()

    def damage(world: World) -> None:
        for node in world.nodes[:2]:
            state = node._state
            for key, _ in list(state.snapshot().scan(COMMITMENTS.prefix, COMMITMENTS.prefix + b"\xff", False)):
                state.write([(key, b"\xff")], sync=True)

    run.on_layer = at_layer(2 * EPOCH, damage)
    assert violated(run) == {NobodyStops.name}


def test_one_beacon_sees_two() -> None:
    run = run_of()

    def change(world: World) -> None:
        stores = world.nodes[4].stores
        assert stores is not None
        rows = Rows(stores.view())
        rows.put(BEACONS, EpochId(3), b"else")
        stores.write(rows)

    run.on_layer = at_layer(3 * EPOCH - 1, change)
    assert violated(run) == {OneBeacon.name}


def test_double_signs_caught_sees_a_node_that_has_forgotten_the_proof() -> None:
    run = run_of(replace(SCENARIO, events=(Cheat(0, "double-atx"),)))

    def forget(world: World) -> None:
        stores = world.nodes[3].stores
        assert stores is not None
        (identity,) = world.nodes[0].identities
        view = stores.view()
        assert view.has(PROOFS, identity)
        rows = Rows(view)
        rows.delete(PROOFS, identity)
        stores.write(rows)

    # in the middle of the layer in which both were published
    middle = run.world.time.start_ns(EPOCH + 2) + run.world.time.layer_duration_ns // 2
    run.world.timeline.at(Instant(middle), lambda: forget(run.world))
    assert violated(run) == {DoubleSignsCaught.name}


def test_a_liar_changes_what_it_answers() -> None:
    run = run_of(replace(SCENARIO, events=(Cheat(0, "liar"),)))
    node = run.world.nodes[0]
    answers = {Liar().answers(node, b"the truth") for _ in range(50)}
    assert b"the truth" not in answers and len(answers) > 3


def test_conviction_needs_who_is_convicted_to_be_dishonest() -> None:
    run = run_of(replace(SCENARIO, events=(Cheat(0, "wrong-post"),)))
    assert violated(run) == set()
    (identity,) = run.world.nodes[0].identities
    marked: Sequence[bool] = [node.read(lambda view: view.has(PROOFS, identity)) for node in run.world.honest]
    assert all(marked)
