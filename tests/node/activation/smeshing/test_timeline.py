"""The timeline of identities in virtual time: from an initial proof to activations that the own handler takes."""

from __future__ import annotations

from dataclasses import replace

from node.activation.smeshing.events import (
    PostState,
    Published,
    RegisteredAt,
)
from node.activation.smeshing.tables import (
    CHALLENGES,
    INITIAL_POSTS,
    NIPOSTS,
    ROUND_PROOFS,
)
from node.activation.tables import POET_BLOBS
from node.contract.instants import Instant
from node.contract.owed import OWED
from protocol.numbers.durations import SECOND
from protocol.types.activation import ActivationTxV1
from protocol.types.activation_v2 import ActivationTxV2
from protocol.types.ids import EMPTY_ATX_ID, EpochId
from tests.node.activation.forge import COINBASE, GOLDEN, TICK

from .rig import START, Rig, end_of, round_end, round_start
from .stand_ins import PARAMETERS, POET_B, TIMELINE, A, B, C


def test_from_an_initial_proof_to_two_activations_of_version_1() -> None:
    rig = Rig(A)
    rig.poets[POET_B].leaf_count = 80 * TICK
    rig.run_until(end_of(4))
    assert rig.sent_epochs(A) == [3, 4]
    first, second = rig.atx(A, 3), rig.atx(A, 4)
    assert isinstance(first, ActivationTxV1) and isinstance(second, ActivationTxV1)
    challenge = first.inner.challenge
    assert (challenge.sequence, challenge.prev_atx, challenge.positioning_atx) == (0, EMPTY_ATX_ID, GOLDEN)
    assert (challenge.commitment_atx, first.inner.node_id, first.inner.vrf_nonce) == (GOLDEN, A.identity, 101)
    initial = rig.stores.view().get(INITIAL_POSTS, A.identity)
    assert initial is not None and challenge.initial_post == initial.post
    challenge = second.inner.challenge
    assert (challenge.sequence, challenge.prev_atx, challenge.positioning_atx) == (1, first.id(), first.id())
    assert (challenge.commitment_atx, challenge.initial_post) == (None, None)
    assert (second.inner.node_id, second.inner.vrf_nonce, second.inner.coinbase) == (None, None, COINBASE)
    # the proof of the most leaves, and the height over the one before
    assert [rig.stored(atx.id()).ticks for atx in (first, second)] == [80, 80]
    assert rig.stored(second.id()).height == 160
    assert rig.stored(second.id()).vrf_nonce == 101
    # registered once at each server for each round, and every proof fetched once
    for poet in rig.poets.values():
        assert [work.challenge for work in poet.registered[:2]] == [
            first.inner.challenge.hash(),
            second.inner.challenge.hash(),
        ]
        assert poet.asked == ["2", "3"]
        assert poet.registered[0].deadline == round_start(3)
        assert poet.registered[0].proof_deadline == TIMELINE.proof_deadline(EpochId(3))
    proving = rig.of(PostState)
    assert [event.is_proving for event in proving] == [True, False] * 3
    assert [event.challenge for event in proving[::2]] == [event.challenge for event in proving[1::2]]
    assert not any(proving[0].challenge), "the initial proof"
    assert all(any(event.challenge) for event in proving[2:])
    assert [event.atx for event in rig.of(Published)] == [first.id(), second.id()]
    view = rig.stores.view()
    assert list(view.keys(OWED)) == []
    # only the one for epoch 5 is in the making; others can have the proofs of the rounds
    assert view.get(CHALLENGES, A.identity).publish_epoch == 5  # type: ignore[union-attr]
    assert list(view.keys(ROUND_PROOFS)) == [] and len(list(view.keys(POET_BLOBS))) == 2


def test_proofs_are_asked_for_a_little_after_the_round_and_published_with_the_epoch() -> None:
    rig = Rig(A)
    least, most = TIMELINE.jitter_bounds()
    assert 0 < least < most
    rig.run_until(Instant(round_end(3) + least - 1))
    assert rig.calls["PoetProofOf"] == 0
    rig.run_until(Instant(round_end(3) + most))
    assert rig.calls["PoetProofOf"] == 2
    assert round_end(3) > TIMELINE.publication(EpochId(3))
    rig.run_until(Instant(round_end(3) + 61 * SECOND))
    assert rig.sent_epochs(A) == [3]


def test_one_that_is_ready_before_its_epoch_waits_for_it() -> None:
    rig = Rig(A, parameters=replace(PARAMETERS, phase_shift=1200 * SECOND, cycle_gap=2400 * SECOND))
    rig.run_until(Instant(TIMELINE.publication(EpochId(3)) - 1))
    nipost = rig.stores.view().get(NIPOSTS, A.identity)
    assert nipost is not None and nipost.is_verified and rig.sent == []
    rig.run_until(TIMELINE.publication(EpochId(3)))
    assert rig.sent_epochs(A) == [3]


def test_version_2_from_its_epoch_on() -> None:
    rig = Rig(A, versions={4: 2})
    rig.run_until(end_of(5))
    assert rig.sent_epochs(A) == [3, 4, 5]
    first, second, third = rig.atx(A, 3), rig.atx(A, 4), rig.atx(A, 5)
    assert isinstance(first, ActivationTxV1)
    assert isinstance(second, ActivationTxV2) and isinstance(third, ActivationTxV2)
    assert (second.initial, second.previous_atxs, third.previous_atxs) == (None, (first.id(),), (second.id(),))
    assert (second.vrf_nonce, third.vrf_nonce) == (101, 101)
    assert rig.stored(third.id()).height == 150


def test_a_first_activation_of_version_2() -> None:
    rig = Rig(A, versions={2: 2})
    rig.run_until(end_of(4))
    first, second = rig.atx(A, 3), rig.atx(A, 4)
    assert isinstance(first, ActivationTxV2) and isinstance(second, ActivationTxV2)
    assert first.initial is not None and first.initial.commitment_atx == GOLDEN
    assert (first.previous_atxs, second.previous_atxs, second.initial) == ((), (first.id(),), None)
    assert rig.sent_epochs(A) == [3, 4]


def test_three_identities_share_rounds_and_the_search() -> None:
    rig = Rig(A, B, C)
    rig.run_until(end_of(3))
    assert [rig.sent_epochs(key) for key in (A, B, C)] == [[3]] * 3
    for poet in rig.poets.values():
        assert poet.asked == ["2"]
        assert len({work.identity for work in poet.registered if work.deadline == round_start(3)}) == 3
    assert rig.calls["VerifyPoet"] == 2
    rig.run_until(end_of(4))
    assert [rig.sent_epochs(key) for key in (A, B, C)] == [[3, 4]] * 3
    assert len({atx.id() for key in (A, B, C) for atx in (rig.atx(key, 3), rig.atx(key, 4))}) == 6


def test_a_key_that_is_added_joins_with_the_next_layer() -> None:
    rig = Rig(A)
    rig.run_until(Instant(START + 500 * SECOND))
    rig.add_key(B)
    rig.run_until(Instant(round_start(3) - 1))
    assert {event.identity for event in rig.of(RegisteredAt)} == {A.identity, B.identity}
    rig.run_until(Instant(round_start(3) + 1))
    rig.add_key(C)  # too late for this round
    rig.run_until(end_of(4))
    assert [rig.sent_epochs(key) for key in (A, B, C)] == [[3, 4], [3, 4], [4]]


def test_a_key_that_is_gone_does_nothing_more() -> None:
    rig = Rig(A, B)
    rig.run_until(Instant(round_start(3) + 1))
    rig.keys.keys.remove(A)
    rig.run_until(end_of(3))
    assert (rig.sent_epochs(A), rig.sent_epochs(B)) == ([], [3])
    # what it has made is kept: it goes on when the key is back
    rig.add_key(A)
    rig.run_until(Instant(end_of(3) + 2))
    assert rig.stores.view().get(CHALLENGES, A.identity) is None  # the epoch was over


def test_nonces_are_named_where_they_change() -> None:
    rig = Rig(A)
    rig.run_until(end_of(3))
    rig.provers[A.identity].nonce = 555
    rig.run_until(end_of(5))
    found = [rig.atx(A, epoch) for epoch in (3, 4, 5)]
    assert [atx.inner.vrf_nonce for atx in found if isinstance(atx, ActivationTxV1)] == [101, 555, None]
    assert [rig.stored(atx.id()).vrf_nonce for atx in found] == [101, 555, 555]
    assert [atx.inner.challenge.sequence for atx in found if isinstance(atx, ActivationTxV1)] == [0, 1, 2]
