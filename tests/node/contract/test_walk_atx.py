"""Walk: an ATX by gossip with unknown dependencies and a PoST to verify."""

from __future__ import annotations

from typing import Any

import pytest

from node.contract.bounds import Bounds
from node.contract.demands import Failed, Fetch, PostVerdict, VerifyPost
from node.engine.edges import Abandon, Call, Judge
from node.store.view import Span
from protocol.numbers.durations import SECOND
from protocol.types.fetch import Hint

from .atxs import ATXS, BY_EPOCH, POETS, TABLES, TOPIC, Atx, Atxs, Poets, atx
from .conftest import OpenStores
from .hare import PROOFS, Proofs
from .world import ALICE, BOB, CAROL, Key, World, at

OLD = atx(Key(1), 4, poet=b"old round")
NEW = atx(Key(1), 5, previous=OLD.id(), poet=b"new round")
DATA = Atx.codec.encode(NEW)


def node(open_stores: OpenStores, bounds: Bounds | None = None) -> World:
    return World(open_stores(*TABLES, PROOFS)(), [Atxs(), Poets(), Proofs()], bounds, now=at(20))


def fetch_of(world: World, id: bytes) -> Call:
    return world.call_for(Fetch, lambda one: one.id == id)  # type: ignore[union-attr]


def open_calls(world: World) -> list[Any]:
    gone = {one.call for one in world.of(Abandon)}
    return [one for one in world.of(Call) if one.call not in gone]


def test_it_waits_for_its_dependencies_and_its_post_and_is_relayed_then(open_stores: OpenStores) -> None:
    world = node(open_stores)
    message = world.gossip(TOPIC, DATA, ALICE)
    world.turn(message)
    # both dependencies are asked for, of the peer that named them; nothing is stored, nothing relayed
    assert [one.demand for one in world.of(Call)] == [
        Fetch(Hint.POET, NEW.poet, (ALICE,)),
        Fetch(Hint.ATX, OLD.id(), (ALICE,)),
    ]
    assert world.verdicts() == [] and list(world.view().scan(ATXS)) == []

    # the same ATX by another peer shares the calls
    second = world.gossip(TOPIC, DATA, CAROL)
    world.turn(second, now=at(20, 1))
    assert len(world.of(Call)) == 2

    # the older one has a dependency of its own
    world.turn(world.fetched(fetch_of(world, OLD.id()), Atx.codec.encode(OLD), BOB), now=at(20, 2))
    assert fetch_of(world, OLD.poet).demand.peers == (BOB,)  # type: ignore[union-attr]
    world.turn(world.fetched(fetch_of(world, NEW.poet), b"new round"), now=at(20, 3))
    world.turn(world.fetched(fetch_of(world, OLD.poet), b"old round"), now=at(20, 4))
    (old_post,) = [one for one in world.of(Call) if isinstance(one.demand, VerifyPost)]
    world.turn(world.returned(old_post, PostVerdict(True)), now=at(20, 5))
    assert world.view().has(ATXS, OLD.id()) and not world.view().has(ATXS, NEW.id())

    # now the dependencies of both copies are there, and each has its PoST verified
    first_post, second_post = [one for one in world.of(Call) if isinstance(one.demand, VerifyPost)][1:]
    world.turn(world.returned(first_post, PostVerdict(True)), now=at(20, 6))
    world.turn(world.returned(second_post, PostVerdict(True)), now=at(20, 7))
    judged = {one.message: one.verdict for one in world.of(Judge)}
    assert judged[message].is_accepted
    assert judged[second].reason == "known"  # read again: it was not, before the wait
    row = world.view().get(ATXS, NEW.id())
    assert row is not None and (row.data, row.received) == (DATA, at(20))  # when it came, not when it was done
    entries = [entry for entry, _ in world.view().find(BY_EPOCH, Span(within=(5,)))]
    assert entries == [(5, NEW.smesher)]
    assert world.engine.open_calls == world.engine.waiting == 0
    assert world.checker.batches == [1, 1, 1]


@pytest.mark.parametrize("answer", ["late", "never"])
def test_it_expires_as_ignored(open_stores: OpenStores, answer: str) -> None:
    world = node(open_stores, Bounds(wait=30 * SECOND))
    message = world.gossip(TOPIC, DATA)
    world.turn(message)
    assert world.engine.next_due() == at(20, 30)
    if answer == "late":
        world.turn(world.fetched(fetch_of(world, NEW.poet), b"new round"), now=at(20, 29))
    world.turn(now=at(20, 30))
    (verdict,) = [one.verdict for one in world.of(Judge) if one.message is message]
    assert (verdict.judgement.value, verdict.reason) == ("ignore", "expired")
    assert world.engine.waiting == world.engine.open_calls == 0
    assert fetch_of(world, OLD.id()).call in [one.call for one in world.of(Abandon)]
    # what comes afterwards is judged for itself, and wakes nobody
    world.turn(world.fetched(fetch_of(world, OLD.id()), b"nonsense"), now=at(20, 31))
    world.turn(world.returned(fetch_of(world, OLD.id()), Failed("timeout")), now=at(20, 31))
    assert world.engine.counts["", "late_answer", ""] == 1
    assert not world.view().has(ATXS, NEW.id())


def test_a_dependency_that_is_refused_or_not_found_leaves_it_ignored(open_stores: OpenStores) -> None:
    world = node(open_stores)
    message = world.gossip(TOPIC, DATA, ALICE)
    world.turn(message)
    lie = world.fetched(fetch_of(world, NEW.poet), b"another round", BOB)
    world.turn(lie)
    world.turn(world.returned(fetch_of(world, OLD.id()), Failed("not_found")))
    judged = {one.message: one.verdict for one in world.of(Judge)}
    assert judged[lie].reason == "incorrect_hash" and judged[lie].judgement.value == "reject"
    assert judged[message].reason == "dependency" and judged[message].judgement.value == "ignore"
    assert not world.view().has(POETS, NEW.poet)


@pytest.mark.parametrize("position", [None, 2])
def test_a_post_that_does_not_hold_is_rejected_and_convicts_if_an_index_is_wrong(
    open_stores: OpenStores, position: int | None
) -> None:
    world = node(open_stores)
    plain = atx(Key(2), 5, poet=b"new round")
    message = world.gossip(TOPIC, Atx.codec.encode(plain))
    world.turn(message)
    world.turn(world.fetched(fetch_of(world, plain.poet), b"new round"))
    world.turn(world.returned(world.call_for(VerifyPost), PostVerdict(False, position, "InvalidMsb")))
    assert world.verdicts()[-1].reason == "post"
    assert not world.view().has(ATXS, plain.id())
    assert world.view().has(PROOFS, plain.smesher) is (position is not None)


def test_what_may_wait_is_bounded_by_peer_and_in_all(open_stores: OpenStores) -> None:
    world = node(open_stores, Bounds(waiting=3, waiting_by_peer=2))
    sent = [
        world.gossip(TOPIC, Atx.codec.encode(atx(Key(10 + number), 5, poet=b"unknown")), peer)
        for number, peer in enumerate((ALICE, ALICE, ALICE, BOB, CAROL))
    ]
    world.turn(*sent)
    judged = {one.message: one.verdict.reason for one in world.of(Judge)}
    assert judged == {sent[2]: "too_many_waiting_of_peer", sent[4]: "too_many_waiting"}
    # what was asked for is not in the way of what waits for it
    poet = fetch_of(world, atx(Key(1), 5, poet=b"unknown").poet)
    world.turn(world.fetched(poet, b"unknown"))
    posts = [one for one in world.of(Call) if isinstance(one.demand, VerifyPost)]
    assert len(posts) == 3
    world.turn(*[world.returned(one, PostVerdict(True)) for one in posts])
    assert len(list(world.view().scan(ATXS))) == 3
    world.turn(world.gossip(TOPIC, Atx.codec.encode(atx(Key(30), 5, poet=b"unknown 2")), ALICE))
    assert world.engine.waiting == 1
