"""Walk: a layer applied, then reverted by tortoise; and cut at every write."""

from __future__ import annotations

import random

import pytest

from node.contract.effects import Emit
from node.engine.errors import EngineStopped, MachineFailed
from node.store.errors import StoreFault
from node.store.stores import Stores
from node.store.view import View

from .chain import ACCOUNTS, APPLIED, LAST, TABLES, TOPIC, VOTES, LayerApplied, LayersReverted, Mesh, Tortoise, balance
from .conftest import OpenStores
from .world import World

State = dict[str, object]


def node(stores: Stores) -> tuple[World, Tortoise]:
    tortoise = Tortoise()
    return World(stores, [Mesh(tortoise)], derived=[tortoise]), tortoise


def state(view: View) -> State:
    return {table.name: list(view.scan(table)) for table in (VOTES, APPLIED, ACCOUNTS, LAST)}


def events(world: World) -> list[object]:
    return [one.event for one in world.of(Emit)]


def test_a_layer_is_applied_then_reverted_and_those_above_follow(open_stores: OpenStores) -> None:
    world, _ = node(open_stores(*TABLES)())
    for vote in (b"1 x ab5", b"2 x bc3"):
        world.turn(world.gossip(TOPIC, vote))
    view = world.view()
    assert [balance(view, one) for one in (b"a", b"b", b"c")] == [95, 102, 103]
    assert view.get(LAST, 0) == 2
    world.turn(world.gossip(TOPIC, b"1 y ac7"))  # one against one: the smaller name
    assert events(world) == [LayerApplied(1, b"ab5"), LayerApplied(2, b"bc3")]
    world.turn(world.gossip(TOPIC, b"1 z ac7"))
    assert events(world)[2:] == [LayersReverted(1), LayerApplied(1, b"ac7"), LayerApplied(2, b"bc3")]
    view = world.view()
    assert [balance(view, one) for one in (b"a", b"b", b"c")] == [93, 97, 110]
    assert dict(view.scan(APPLIED)) == {1: b"ac7", 2: b"bc3"} and view.get(LAST, 0) == 2
    assert {layer for _, layer in view.keys(ACCOUNTS)} == {1, 2}


def votes(seed: int) -> list[bytes]:
    rng = random.Random(seed)
    blocks = [b"ab1", b"bc2", b"ca3", b"ab4bc5", b""]
    return [b"%d %c %s" % (rng.randrange(1, 5), rng.choice(b"vwxyz"), rng.choice(blocks)) for _ in range(14)]


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_write_it_is_before_or_after_and_goes_on(open_stores: OpenStores, seed: int) -> None:
    reopen = open_stores(*TABLES)
    world, _ = node(reopen())
    reference, _ = node(Stores(_fresh(world.stores)[0], _fresh(world.stores)[1]))
    reverted = 0
    for vote in votes(seed):
        reference.turn(reference.gossip(TOPIC, vote))
        before, after = state(world.view()), state(reference.view())
        # killed before the write, at the write, and after it but before anything leaves
        world.engine.prepare([world.gossip(TOPIC, vote)], world.now)
        world, tortoise = node(reopen())
        assert state(world.view()) == before
        write = world.stores.state._backend.write

        def fail(changes: object, sync: bool) -> None:
            raise StoreFault("The disk is full.")

        world.stores.state._backend.write = fail  # type: ignore[method-assign]
        if before != after:
            with pytest.raises(EngineStopped, match="The disk is full"):
                world.turn(world.gossip(TOPIC, vote))
        world.stores.state._backend.write = write  # type: ignore[method-assign]
        assert not [one for one in events(world) if isinstance(one, (LayerApplied, LayersReverted))]
        world, tortoise = node(reopen())
        assert state(world.view()) == before
        world.turn(world.gossip(TOPIC, vote))
        reverted += sum(isinstance(one, LayersReverted) for one in events(world))
        world, tortoise = node(reopen())
        assert state(world.view()) == after
        assert tortoise.blocks()[: len(list(world.view().keys(APPLIED)))] == list(world.view().scan(APPLIED))
    assert reverted


def _fresh(stores: Stores) -> tuple[object, object]:
    """Stores in memory with the same schemas."""
    return type(stores.state).in_memory(stores.state.schema), type(stores.own).in_memory(stores.own.schema)


def test_a_unit_that_fails_after_a_direct_call_stops_the_node_which_recovers(open_stores: OpenStores) -> None:
    reopen = open_stores(*TABLES)
    world, _ = node(reopen())
    world.turn(world.gossip(TOPIC, b"1 x ab5"))
    before = state(world.view())
    overdrawn = b"2 x " + b"ab9" * 20
    with pytest.raises(EngineStopped) as stopped:
        world.turn(world.gossip(TOPIC, b"2 w bc1"), world.gossip(TOPIC, overdrawn.replace(b"x", b"v")))
    assert type(stopped.value.__cause__).__name__ == "Overdrawn"
    with pytest.raises(EngineStopped, match="begin a new one"):
        world.turn(world.gossip(TOPIC, b"2 x bc1"))
    world, tortoise = node(reopen())
    assert state(world.view()) == before  # nothing of the turn was written
    assert tortoise.blocks() == [(1, b"ab5")]
    world.turn(world.gossip(TOPIC, b"2 w bc1"))
    assert world.view().get(LAST, 0) == 2


def test_a_message_on_which_a_machine_fails_before_that_is_ignored_and_told_of(open_stores: OpenStores) -> None:
    world, _ = node(open_stores(*TABLES)())
    world.turn(world.gossip(TOPIC, b"nonsense"), world.gossip(TOPIC, b"1 x ab5"))
    assert [(one.judgement.value, one.reason) for one in world.verdicts()] == [("ignore", "fault"), ("accept", "")]
    failed, applied = events(world)
    assert isinstance(failed, MachineFailed) and "ValueError" in failed.error and failed.machine == "mesh"
    assert applied == LayerApplied(1, b"ab5")


def test_a_damaged_row_stops_the_node_and_is_no_bad_message(open_stores: OpenStores) -> None:
    world, _ = node(open_stores(*TABLES)())
    world.turn(world.gossip(TOPIC, b"1 x ab5"))
    world.stores.state._backend.write([(ACCOUNTS.prefix + b"b" + bytes(3) + b"\1", b"\xff" * 9)], sync=False)
    with pytest.raises(EngineStopped, match="of accounts cannot be read"):
        world.turn(world.gossip(TOPIC, b"2 x bc3"))
    assert [one.reason for one in world.verdicts()] == [""]
