"""An old copy of a store is put back: the node catches up, and never contradicts what it signed in the life before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from node.activation.machine import TOPIC as ATXS
from node.proposals.machine import TOPIC as PROPOSALS
from node.sim.disk import Crash, Database
from node.sim.node import SimNode
from node.sim.world import World
from node.store.own import SIGNED, Kind, Slot
from protocol.numbers.durations import SECOND
from protocol.types.ids import EpochId

from .restarting import EPOCH, Restarted, as_the_twin, restarted, said_by

Stores = Literal["state", "own", "both"]
LAYERS = 20
SMESHER, MANY = 2, 3
"""A node with one identity, and one with three."""


def contents(database: Database) -> dict[bytes, bytes]:
    """All keys and values."""
    return dict(database.snapshot().scan(b"", None, reverse=False))


def put_back(database: Database, saved: dict[bytes, bytes]) -> None:
    """The saved keys and values, and no others."""
    gone: list[tuple[bytes, bytes | None]] = [(key, None) for key in contents(database) if key not in saved]
    database.on_write, told = None, database.on_write
    database.write([*gone, *saved.items()], sync=True)
    database.on_write = told


def databases(node: SimNode) -> tuple[Database, Database]:
    """The state's, and the own one."""
    return node._state, node._own


def with_backup(made: Restarted, saved_at: int, back_at: int, stores: Stores) -> Callable[[World], None]:
    """Save the stores of the nodes that sign as one layer begins, put some of them back as a later one does."""
    kept: dict[int, list[dict[bytes, bytes]]] = {}

    def on_layer(world: World) -> None:
        layer = world.time.layer_at(world.now)
        for number in (SMESHER, MANY):
            one = world.nodes[number]
            if layer == saved_at:
                kept[number] = [contents(database) for database in databases(one)]
            if layer == back_at:
                one.crash(Crash.KILL, 20 * SECOND)
                for name, database, saved in zip(("state", "own"), databases(one), kept[number], strict=True):
                    if stores in (name, "both"):
                        assert saved != contents(database)
                        put_back(database, saved)
                made.forgotten.put_back(one)

    return on_layer


@pytest.mark.parametrize("stores", ["state", "own", "both"])
@pytest.mark.parametrize(("saved_at", "back_at"), [(3, 7), (9, 14)])
def test_an_old_backup_is_caught_up_with_and_nothing_is_signed_twice(
    stores: Stores, saved_at: int, back_at: int
) -> None:
    made = restarted(saved_at, "4", LAYERS, each=0)
    made.run.on_layer = with_backup(made, saved_at, back_at, stores)
    outcome = made.run.finish()
    assert outcome.violations == ()
    as_the_twin(made.run)
    for number in (SMESHER, MANY):
        one = made.run.world.nodes[number]
        assert one.lives == 2 and one.keys.stopped == {}
        # the activations of the life before are known to be signed, whatever was put back
        said = {(slot[1], slot[2]): data for slot, data in made.messages.said.items() if slot[0] == ATXS}
        for identity in one.identities:
            epochs = sorted(epoch for of, epoch in said if of == identity)
            # a registration that the own store has lost costs that epoch; the next ones are as before
            assert epochs[0] == 1 and epochs[-1] >= LAYERS // EPOCH - 2 and len(epochs) >= 2
            for epoch in epochs:
                slot = Slot(identity, Kind.ATX, EpochId(int(str(epoch))))
                assert one.read(lambda view, slot=slot: view.get(SIGNED, slot)) == said[identity, epoch]
        assert PROPOSALS in said_by(made, number)
