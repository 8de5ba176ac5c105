"""Married identities of one node publish together, from version 2 on, where they are configured so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from node.activation.marriages import members
from node.activation.smeshing import build, merging
from node.activation.smeshing.build import Part, joined
from node.activation.smeshing.events import Published
from node.activation.smeshing.tables import CHALLENGES, Challenge, Membership, Nipost
from node.activation.tables import ATXS, MARRIAGES
from node.contract.demands import Demand, Result, VerifyVrfNonce
from node.contract.instants import Instant
from protocol.crypto.merkle import prove, root_of, validate
from protocol.numbers.durations import SECOND
from protocol.types.activation import PostV1
from protocol.types.activation_v2 import ActivationTxV2
from protocol.types.ids import EMPTY_ATX_ID, AtxId, EpochId, Hash32, PoetProofRef
from tests.node.activation.forge import COINBASE, GOLDEN, LABELS, v1, v2

from .rig import Rig, end_of
from .stand_ins import PARAMETERS, POET_B, TIMELINE, A, B, C

FIRST = {key.identity: v1(key, 0) for key in (A, B, C)}
CONSENTING = [(A, EMPTY_ATX_ID), (B, FIRST[B.identity].id), (C, FIRST[C.identity].id)]
MARRIAGE = v2(A, 1, FIRST[A.identity].id, ticks=20, marries=CONSENTING)


def married(is_merging: bool = True, restarts_at: Callable[[int], bool] = lambda turn: False) -> Rig:
    """A node of three identities that were married in epoch 1; epoch 2 begins."""
    rig = Rig(A, B, C, parameters=replace(PARAMETERS, is_merging=is_merging), versions={1: 2})
    rig.receive(*FIRST.values(), MARRIAGE)
    row = rig.stores.view().get(MARRIAGES, A.identity)
    assert row is not None and members(rig.stores.view(), row.set) == [A.identity, B.identity, C.identity]
    rig.restarts_at = restarts_at
    return rig


def test_one_publishes_for_all() -> None:
    rig = married()
    rig.run_until(end_of(4))
    first, second = rig.atx(A, 3), rig.atx(A, 4)
    assert isinstance(first, ActivationTxV2) and isinstance(second, ActivationTxV2)
    assert len(rig.sent) == 2 and [rig.signed(key)[3] for key in (A, B, C)] == [rig.sent[0]] * 3
    assert (first.smesher_id, first.marriage_atx) == (A.identity, MARRIAGE.id)
    assert first.previous_atxs == (MARRIAGE.id, FIRST[B.identity].id, FIRST[C.identity].id)
    (nipost,) = first.niposts
    assert [(post.marriage_index, post.prev_atx_index, post.num_units) for post in nipost.posts] == [
        (0, 0, 10),
        (1, 1, 10),
        (2, 2, 10),
    ]
    stored = rig.stored(first.id())
    assert (stored.units, stored.ticks, stored.weight) == (30, 50, 1500)
    # from then on all follow the same one, and have the same challenge
    assert second.previous_atxs == (first.id(),)
    assert {post.membership_leaf_index for post in second.niposts[0].posts} in ({0}, {1})
    assert {event.identities for event in rig.of(Published)} == {(A.identity, B.identity, C.identity)}
    assert {row.publish_epoch for _, row in rig.stores.view().scan(CHALLENGES)} == {5}


def test_all_build_on_the_highest_of_theirs() -> None:
    rig = married()
    rig.run_until(TIMELINE.round_start(EpochId(3)))
    rows = dict(rig.stores.view().scan(CHALLENGES))
    assert {row.positioning_atx for row in rows.values()} == {MARRIAGE.id}
    assert {row.prev_atx for row in rows.values()} == {MARRIAGE.id, FIRST[B.identity].id, FIRST[C.identity].id}


def test_without_the_setting_each_publishes_for_itself() -> None:
    rig = married(is_merging=False)
    rig.run_until(end_of(3))
    assert len(rig.sent) == 3
    for key in (A, B, C):
        atx = rig.atx(key, 3)
        assert isinstance(atx, ActivationTxV2) and atx.marriage_atx is None and atx.smesher_id == key.identity


def test_a_marriage_that_is_too_recent_is_not_merged() -> None:
    rig = Rig(A, B, parameters=replace(PARAMETERS, is_merging=True), versions={2: 2})
    first = {key.identity: v1(key, 1) for key in (A, B)}
    rig.receive(*first.values())
    rig.run_until(Instant(rig.now + SECOND))
    assert rig.stores.view().get(MARRIAGES, A.identity) is None
    rig.run_until(end_of(3))
    assert len(rig.sent) == 2


def test_whose_nonce_does_not_do_for_all_leaves_it_to_the_next() -> None:
    rig = married()
    asked: list[VerifyVrfNonce] = []

    def verify(demand: Demand) -> Result | None:
        assert isinstance(demand, VerifyVrfNonce)
        asked.append(demand)
        return demand.node_id != A.identity if demand.num_units == 30 else None

    rig.results[VerifyVrfNonce] = verify
    rig.run_until(end_of(3))
    atx = rig.atx(A, 3)
    assert isinstance(atx, ActivationTxV2) and atx.smesher_id == B.identity and atx.vrf_nonce == 102
    assert len(rig.sent) == 1 and rig.signed(C)[3] == rig.sent[0]
    assert [(one.node_id, one.num_units) for one in asked[:2]] == [(A.identity, 30), (B.identity, 30)]


def test_without_a_nonce_that_does_each_publishes_for_itself() -> None:
    rig = married()

    def verify(demand: Demand) -> Result | None:
        assert isinstance(demand, VerifyVrfNonce)
        return demand.num_units < 30

    rig.results[VerifyVrfNonce] = verify
    rig.run_until(end_of(3))
    assert len(rig.sent) == 3
    assert {rig.atx(key, 3).smesher_id for key in (A, B, C)} == {A.identity, B.identity, C.identity}


def test_who_is_late_is_waited_for_until_the_next_challenge_is_made() -> None:
    rig = married()
    rig.run_until(Instant(TIMELINE.round_end(EpochId(3)) - 1))
    rig.provers[C.identity].takes = 2000 * SECOND
    rig.run_until(Instant(TIMELINE.building(EpochId(4)) - 1))
    assert rig.sent == []
    rig.run_until(Instant(TIMELINE.building(EpochId(4)) + 10 * SECOND))
    atx = rig.atx(A, 3)
    assert isinstance(atx, ActivationTxV2) and len(atx.niposts[0].posts) == 2
    assert rig.sent == [rig.signed(B)[3]]
    rig.run_until(end_of(3))
    late = rig.atx(C, 3)
    assert isinstance(late, ActivationTxV2) and (late.smesher_id, late.marriage_atx) == (C.identity, None)
    assert len(rig.sent) == 2 and rig.stored(late.id()).units == 10


def test_proofs_of_several_rounds_are_merged() -> None:
    rig = married()
    rig.poets[POET_B].leaf_count = 6000
    rig.run_until(TIMELINE.round_start(EpochId(3)))
    del rig.poets[POET_B].rounds[2][bytes(C.identity)]  # the better server has lost one of them
    rig.run_until(end_of(3))
    atx = rig.atx(A, 3)
    assert isinstance(atx, ActivationTxV2)
    assert [len(nipost.posts) for nipost in atx.niposts] == [2, 1]
    stored = rig.stored(atx.id())
    assert (stored.ticks, stored.weight) == (50, 20 * 60 + 10 * 50)


@pytest.mark.parametrize(("name", "limit"), [("MAX_POSTS", 2), ("MAX_U32", 29)])
def test_who_does_not_fit_publishes_for_itself(monkeypatch: pytest.MonkeyPatch, name: str, limit: int) -> None:
    monkeypatch.setattr(merging, name, limit)
    rig = married()
    rig.run_until(end_of(3))
    atx, other = rig.atx(A, 3), rig.atx(C, 3)
    assert isinstance(atx, ActivationTxV2) and isinstance(other, ActivationTxV2)
    assert [post.marriage_index for post in atx.niposts[0].posts] == [0, 1]
    assert (other.smesher_id, other.marriage_atx) == (C.identity, None) and len(rig.sent) == 2


@pytest.fixture(scope="module")
def uncut() -> Rig:
    """The run with which those are compared that are cut."""
    rig = married()
    rig.run_until(end_of(3))
    return rig


@pytest.mark.parametrize("part", range(4))
def test_a_restart_after_any_turn_signs_nothing_else(uncut: Rig, part: int) -> None:
    for cut in range(8 + part, uncut.turns + 1, 4):
        rig = married(restarts_at=lambda turn, cut=cut: turn == cut)  # type: ignore[misc]
        rig.run_until(end_of(3))
        assert rig.sent == uncut.sent
        assert [rig.signed(key)[3] for key in (A, B, C)] == uncut.sent * 3
        assert [row.publish_epoch for _, row in rig.stores.view().scan(CHALLENGES)] == [4, 4, 4]


# ---- building ----


@pytest.mark.parametrize("count", [1, 2, 5, 8, 13])
def test_several_proofs_of_membership_make_one(count: int) -> None:
    members = [bytes([number]) * 32 for number in range(count)]
    single = [
        Membership(PoetProofRef(bytes(32)), 1, tuple(map(Hash32, prove(members, [index]))), index)
        for index in range(count)
    ]
    for chosen in ({0}, {count - 1}, {0, count - 1}, set(range(count)), set(range(0, count, 2))):
        nodes = joined([single[index] for index in chosen])
        assert nodes == prove(members, sorted(chosen))
        assert validate(sorted(chosen), [members[index] for index in sorted(chosen)], nodes, root_of(members))


def test_parts_that_cannot_be_merged_are_refused(uncut: Rig) -> None:
    def part(epoch: int, positioning: AtxId, ref: bytes) -> Part:
        challenge = Challenge(EpochId(epoch), 2, 1, AtxId(b"p" * 32), positioning)
        nipost = Nipost(PostV1(1, b"", 1), 10, LABELS, GOLDEN, 9, True)
        return Part(A.identity, challenge, Membership(PoetProofRef(ref), 100, (), 0), nipost)

    refs = [bytes([number]) * 32 for number in range(5)]
    for parts in (
        [part(3, GOLDEN, refs[0]), part(4, GOLDEN, refs[0])],
        [part(3, GOLDEN, refs[0]), part(3, AtxId(b"o" * 32), refs[0])],
        [part(3, GOLDEN, ref) for ref in refs],
    ):
        with pytest.raises(ValueError, match=r"one positioning|at most 4"):
            build.merged(A, parts, [A.identity], MARRIAGE.id, COINBASE, 9)
    assert uncut.stores.view().has(ATXS, MARRIAGE.id)
