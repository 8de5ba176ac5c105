"""Walk: a restart between an own ATX that is signed and the same one published."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node.contract.demands import PostVerdict, VerifyPost
from node.contract.effects import Emit
from node.contract.inputs import Sent, Tick
from node.contract.instants import Instant, after
from node.contract.owed import OWED
from node.engine.edges import Returned, Send
from node.engine.errors import EngineStopped
from node.store.errors import StoreFault
from node.store.own import SIGNED
from node.store.stores import Stores
from node.store.view import Rows
from protocol.crypto.hashing import hash32
from protocol.types.ids import Hash32, LayerId
from tests.vector_cases.consensus_support import KeyRing

from .atxs import ATXS, EPOCH_LAYERS, POETS, TABLES, VALID_FOR, Atx, Atxs, AtxSent, Builder, Poets
from .conftest import OpenStores
from .hare import PROOFS, Proofs
from .world import Call, Key, World, at

POET = b"the round"
LAYER = 5 * EPOCH_LAYERS


class Node:
    """A node with a builder, which can be killed."""

    def __init__(self, reopen: Callable[[], Stores]) -> None:
        self._reopen = reopen
        self.begin(at(LAYER, -10))
        rows = Rows(self.world.view())
        rows.put(POETS, Hash32(hash32(POET)), POET)
        self.world.stores.write(rows)

    def begin(self, now: Instant) -> None:
        """Start, or start again."""
        self.builder = Builder(KeyRing(Key(1)), POET)
        machines = [Atxs(), Poets(), Proofs(), self.builder]
        self.world = World(self._reopen(), machines, now=now, sends=False)

    def verify_own(self) -> None:
        """The verifier says that the PoST of the own ATX holds."""
        self.world.turn(self.world.returned(self.world.call_for(VerifyPost), PostVerdict(True)))

    def noted(self) -> list[bytes]:
        """What is signed."""
        return [data for _, data in self.world.view().scan(SIGNED)]

    def owed(self) -> list[bytes]:
        """What must still be sent."""
        return [row.data for _, row in self.world.view().scan(OWED)]


@pytest.fixture
def node(open_stores: OpenStores) -> Node:
    return Node(open_stores(*TABLES, PROOFS))


def test_killed_between_the_two_stores_it_sends_what_was_signed_first(node: Node) -> None:
    backend = node.world.stores.state._backend
    write = backend.write

    def fail(changes: object, sync: bool) -> None:
        raise StoreFault("The power is gone.")

    backend.write = fail  # type: ignore[method-assign]
    with pytest.raises(EngineStopped):
        node.world.tick(LAYER)
    backend.write = write  # type: ignore[method-assign]
    assert node.world.sent() == []
    node.begin(at(LAYER, 1))
    (signed,) = node.noted()  # the own store is ahead of the state
    assert node.owed() == []
    # the builder knows nothing of it, and would sign something else
    node.world.turn(Tick(LayerId(LAYER), at(LAYER)))
    assert node.builder.signed == 1
    node.verify_own()
    assert node.world.sent() == [signed] == node.noted()
    assert node.world.view().has(ATXS, Atx.codec.decode(signed).id())


@pytest.mark.parametrize("stage", ["signed", "accepted", "sent, not confirmed"])
def test_killed_before_it_is_known_to_be_sent_it_is_sent_again(node: Node, stage: str) -> None:
    node.world.tick(LAYER)
    (signed,) = node.noted()
    assert node.owed() == [signed] and node.world.sent() == []
    if stage != "signed":
        node.verify_own()
        assert node.world.sent() == [signed]
    node.begin(at(LAYER, 20))
    if stage == "signed":
        node.verify_own()
    assert node.world.sent() == [signed]  # accepted as our own, though it is known
    assert node.builder.signed == 0
    (send,) = node.world.of(Send)
    node.world.turn(Returned(send.call, Sent(), node.world.now))
    assert node.owed() == []
    assert [one.event for one in node.world.of(Emit)] == [AtxSent(Atx.codec.decode(signed).id())]
    node.begin(at(LAYER, 30))
    assert node.world.started == [] and node.world.of(Call) == []


def test_what_is_owed_is_forgotten_when_its_time_is_over(node: Node) -> None:
    node.world.tick(LAYER)
    assert node.owed()
    node.begin(after(at(LAYER), VALID_FOR))
    assert node.world.started == [] and node.owed() == []
    assert node.noted()  # what was signed stands for ever
