"""Walk: a layer synced from a lying peer, with the world fetching objects and with a machine that does."""

from __future__ import annotations

from collections.abc import Callable

from node.contract.demands import Failed, Fetch, PeerRequest, Request
from node.contract.effects import Emit, Penalise
from node.contract.messages import PeerId
from node.engine.edges import Call, Incoming, Judge, Outgoing, Output
from protocol.types.fetch import Hint, LayerData, RequestBatch, ResponseBatch, ResponseMessage
from protocol.types.ids import BallotId, Hash32, LayerId, as_hash32

from .conftest import OpenStores
from .syncing import BALLOTS, LAYER_DATA, OBJECTS, Ballots, Fetching, LayerSynced, Sync, ballot, ballot_id
from .world import ALICE, BOB, CAROL, Key, World

LAYER = 7
TRUE = [ballot(Key(number), LAYER) for number in range(1, 4)]
IDS = [ballot_id(one) for one in TRUE]
FORGED = TRUE[2][:-1] + bytes([TRUE[2][-1] ^ 1])
ORDER = [ALICE, BOB, CAROL]


def layer_data(ids: list[BallotId]) -> bytes:
    return LayerData.codec.encode(LayerData(tuple(ids)))


def test_what_a_peer_invents_is_penalised_and_another_one_is_asked(open_stores: OpenStores) -> None:
    sync = Sync(lambda: ORDER)
    world = World(open_stores(BALLOTS)(), [Ballots(), sync])
    world.tick(LAYER)
    (asked,) = world.of(Call)
    assert isinstance(asked.demand, Request) and (asked.demand.protocol, asked.demand.peer) == (LAYER_DATA, ALICE)

    # Alice's list is none
    world.turn(world.returned(asked, b"\xff\xff\xff"))
    assert [one.peer for one in world.of(Penalise)] == [ALICE]
    second = world.call_for(Request, lambda one: one.peer == BOB)  # type: ignore[union-attr]

    # Bob names two that there are and one that he has forged
    lie = ballot_id(FORGED)
    world.turn(world.returned(second, layer_data([IDS[0], IDS[1], lie])))
    fetches = {one.demand.id: one for one in world.of(Call) if isinstance(one.demand, Fetch)}
    assert set(fetches) == {as_hash32(one) for one in (IDS[0], IDS[1], lie)}
    messages = [
        world.fetched(fetches[as_hash32(IDS[0])], TRUE[0], BOB),
        world.fetched(fetches[as_hash32(IDS[1])], TRUE[0], BOB),  # another one than was asked for
        world.fetched(fetches[as_hash32(lie)], FORGED, BOB),
    ]
    world.turn(*messages)
    judged = {one.message: one.verdict for one in world.of(Judge)}
    assert [judged[one].reason for one in messages] == ["", "incorrect_hash", "signature"]
    assert all(judged[one].judgement.value == "reject" for one in messages[1:])
    assert world.checker.batches == [2]
    assert list(world.view().keys(BALLOTS)) == [(LAYER, IDS[0])]

    # Carol is honest; what is there already is not asked for again
    third = world.call_for(Request, lambda one: one.peer == CAROL)  # type: ignore[union-attr]
    world.turn(world.returned(third, layer_data(IDS)))
    again = [one for one in world.of(Call) if isinstance(one.demand, Fetch) and one.demand.peers == (CAROL,)]
    assert [one.demand.id for one in again] == sorted(as_hash32(one) for one in IDS[1:])  # type: ignore[union-attr]
    by_id = {as_hash32(id): data for id, data in zip(IDS, TRUE)}
    world.turn(*[world.fetched(one, by_id[one.demand.id], CAROL) for one in again])  # type: ignore[union-attr, index]
    assert [one.event for one in world.of(Emit)] == [LayerSynced(LayerId(LAYER), 3)]
    assert sorted(world.view().keys(BALLOTS)) == sorted((LAYER, one) for one in IDS)
    assert sorted(sync.seen) == sorted((LAYER, one) for one in IDS)  # told of by the machine that wrote them
    assert world.engine.open_calls == world.engine.waiting == 0


def test_a_machine_that_fetches_hands_over_what_comes_and_asks_others_for_what_was_refused(
    open_stores: OpenStores,
) -> None:
    world = World(open_stores(BALLOTS)(), [Ballots(), Sync(lambda: [CAROL]), Fetching(lambda: ORDER)])
    held = {
        CAROL: {as_hash32(IDS[0]): TRUE[1]},  # lies about one, has not the others
        ALICE: dict(zip(map(as_hash32, IDS[:2]), TRUE)),
        BOB: {as_hash32(IDS[2]): TRUE[2]},
    }
    world.tick(LAYER)
    outputs = world.turn(world.returned(world.of(Call)[0], layer_data(IDS)))
    assert not [one for one in outputs if isinstance(one, Call)]  # fetches are gathered
    assert world.engine.next_due() == world.now + 50_000_000
    for _ in range(4):
        due = world.engine.next_due()
        if due is not None:
            outputs = world.turn(now=due)
        answered = [world.returned(one, served(one, held)) for one in calls(outputs)]
        outputs = world.turn(*answered)
    assert [one.event for one in world.of(Emit)] == [LayerSynced(LayerId(LAYER), 3)]
    asked = [
        (one.demand.peer, len(RequestBatch.codec.decode(one.demand.data).requests))  # type: ignore[union-attr]
        for one in world.of(Call)[1:]
    ]
    assert asked == [(CAROL, 3), (ALICE, 3), (BOB, 1)]
    assert not [one for one in world.of(Call) if isinstance(one.demand, Fetch)]
    assert world.engine.counts[Hint.BALLOT, "reject", "incorrect_hash"] == 1
    assert world.engine.open_calls == 0


def calls(outputs: list[Output]) -> list[Call]:
    return [one for one in outputs if isinstance(one, Call)]


def served(call: Call, held: dict[PeerId, dict[Hash32, bytes]]) -> bytes | Failed:
    """What a peer answers to a batch."""
    assert isinstance(call.demand, Request) and call.demand.protocol == OBJECTS
    batch = RequestBatch.codec.decode(call.demand.data)
    have = held[call.demand.peer]
    responses = [ResponseMessage(one.hash, have[one.hash]) for one in batch.requests if one.hash in have]
    return ResponseBatch.codec.encode(ResponseBatch(batch.id, tuple(responses)))


def test_a_request_of_a_peer_is_answered_by_the_machine_of_its_protocol(open_stores: OpenStores) -> None:
    make: Callable[[], list[PeerId]] = lambda: []  # noqa: E731
    world = World(open_stores(BALLOTS)(), [Ballots(), Fetching(make)])
    requests = [
        Incoming(5, PeerRequest(OBJECTS, b"that", ALICE), world.now),
        Incoming(6, PeerRequest("other/1", b"this", ALICE), world.now),
    ]
    world.turn(*requests)
    assert world.of(Outgoing) == [Outgoing(5, b"nothing of that"), Outgoing(6, Failed("no_protocol"))]
    assert world.engine.open_calls == 0
