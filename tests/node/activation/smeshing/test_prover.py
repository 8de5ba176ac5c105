"""Smeshing with provers that are late, away, broken, or wrong."""

from __future__ import annotations

from dataclasses import replace

from node.activation.smeshing.events import (
    ChallengeDropped,
    ProofNotMade,
    WaitsForRegistration,
)
from node.activation.smeshing.tables import (
    INITIAL_POSTS,
    MEMBERSHIPS,
    NIPOSTS,
)
from node.contract.demands import (
    Demand,
    Failed,
    PostVerdict,
    ProvenPost,
    Result,
    VerifyPost,
)
from node.contract.instants import Instant
from node.store.view import Rows
from protocol.numbers.durations import SECOND
from protocol.types.activation import ActivationTxV1, PostMetadataV1
from tests.node.activation.forge import GOLDEN, LABELS, POST

from .rig import START, Rig, end_of, round_end, round_start, sentences
from .stand_ins import A


def test_a_proof_that_is_late_is_published_and_the_next_round_is_missed() -> None:
    rig = Rig(A)
    rig.run_until(Instant(round_end(3) - 1))
    rig.provers[A.identity].takes = 2000 * SECOND  # longer than the cycle gap, shorter than the epoch
    rig.run_until(Instant(round_end(3) + 2100 * SECOND))
    assert rig.now > round_start(4) and rig.sent_epochs(A) == [3]
    rig.provers[A.identity].takes = 60 * SECOND
    rig.run_until(end_of(5))
    assert rig.sent_epochs(A) == [3, 5]
    last = rig.atx(A, 5)
    assert isinstance(last, ActivationTxV1)
    assert last.inner.challenge.prev_atx == rig.atx(A, 3).id() and last.inner.challenge.sequence == 1


def test_a_proof_that_is_not_made_before_the_epoch_is_over_is_given_up() -> None:
    rig = Rig(A)
    rig.run_until(Instant(round_end(3) - 1))
    rig.provers[A.identity].takes = 10_000 * SECOND
    rig.run_until(Instant(end_of(3) + 2 * SECOND))
    assert len(sentences(rig, ChallengeDropped)) == 1 and rig.later == []
    assert [event.publish_epoch for event in rig.of(WaitsForRegistration)] == [3]
    rig.run_until(Instant(rig.now + 300 * SECOND))  # the next one is planned in the next layer
    assert [event.publish_epoch for event in rig.of(WaitsForRegistration)] == [3, 5]
    rig.provers[A.identity].takes = 60 * SECOND
    rig.run_until(end_of(5))
    assert rig.sent_epochs(A) == [5]


def test_a_prover_that_is_not_connected_is_waited_for() -> None:
    rig = Rig(A)
    prover = rig.provers[A.identity]
    prover.is_connected, prover.takes = False, 0
    rig.run_until(Instant(START + 61 * SECOND))
    assert 25 < len(prover.challenges) < 35
    assert rig.stores.view().get(INITIAL_POSTS, A.identity) is None
    prover.is_connected = True
    rig.run_until(Instant(round_end(3) - 1))
    prover.is_connected = False
    rig.run_until(Instant(round_end(3) + 100 * SECOND))
    assert sentences(rig, ProofNotMade)[-1] == "Its prover is not connected; it is waited for."
    prover.is_connected = True
    rig.run_until(Instant(round_end(3) + 110 * SECOND))
    assert rig.sent_epochs(A) == [3]


def test_a_prover_that_fails_is_asked_again_in_the_next_layer() -> None:
    rig = Rig(A)
    rig.provers[A.identity].failures = [Failed("error", "disk on fire")]
    rig.run_until(end_of(3))
    assert sentences(rig, ProofNotMade) == [
        "Its initial proof was not made: error, disk on fire; the prover is asked again."
    ]
    assert rig.sent_epochs(A) == [3]
    rig.provers[A.identity].failures = [Failed("error", "disk on fire")]
    rig.run_until(end_of(4))
    assert sentences(rig, ProofNotMade)[1:] == ["Its prover failed: error, disk on fire; it is asked again."]
    assert rig.sent_epochs(A) == [3, 4]


def test_a_proof_of_space_that_does_not_hold_is_not_published_but_made_again() -> None:
    rig = Rig(A)
    rig.run_until(Instant(round_end(3) - 1))
    bad: list[VerifyPost] = []

    def verify(demand: Demand) -> Result | None:
        assert isinstance(demand, VerifyPost)
        if not bad and demand.metadata.challenge != bytes(32):
            bad.append(demand)
            return PostVerdict(False, 3, "wrong label")
        return None

    rig.results[VerifyPost] = verify
    rig.run_until(end_of(3))
    (sentence,) = sentences(rig, ProofNotMade)
    assert "index 3" in sentence and "wrong label" in sentence and "smesher verify" in sentence
    assert bad[0].positions is None and bad[0].is_urgent
    assert rig.sent_epochs(A) == [3]
    atx = rig.atx(A, 3)
    assert isinstance(atx, ActivationTxV1) and atx.inner.nipost is not None and atx.inner.nipost.post != bad[0].post
    assert len(rig.provers[A.identity].challenges) == 3  # initial, bad, good


def test_a_proof_that_cannot_be_checked_is_kept_until_it_can() -> None:
    rig = Rig(A)
    rig.run_until(Instant(round_end(3) - 1))

    def verify(demand: Demand) -> Result | None:
        assert isinstance(demand, VerifyPost)
        return None if demand.metadata.challenge == bytes(32) else Failed("stopped")

    rig.results[VerifyPost] = verify
    rig.run_until(Instant(round_end(3) + 400 * SECOND))
    made = len(rig.provers[A.identity].challenges)
    nipost = rig.stores.view().get(NIPOSTS, A.identity)
    assert nipost is not None and not nipost.is_verified and rig.sent == []
    rig.begin()  # it took hours: a restart does not lose it
    rig.results.clear()
    rig.run_until(Instant(rig.now + 310 * SECOND))
    assert rig.sent_epochs(A) == [3] and len(rig.provers[A.identity].challenges) == made


def test_an_initial_proof_is_made_again_where_it_does_not_hold() -> None:
    rig = Rig(A)
    answers = [PostVerdict(False), None, PostVerdict(False)]  # of the first, of the second, of that one later on

    def verify(demand: Demand) -> Result | None:
        return answers.pop(0) if answers else None

    rig.results[VerifyPost] = verify
    rig.run_until(end_of(4))
    found = sentences(rig, ProofNotMade)
    assert len(found) == 2 and all("is made again" in sentence for sentence in found)
    assert rig.sent_epochs(A) == [4]
    assert rig.provers[A.identity].challenges.count(bytes(32)) == 3


def test_an_initial_proof_without_a_nonce_is_none() -> None:
    rig = Rig(A)
    post = PostMetadataV1(bytes(32), LABELS)
    rig.provers[A.identity].failures = [ProvenPost(POST, post, 10, GOLDEN, None)]
    rig.run_until(end_of(3))
    assert "without a VRF nonce" in sentences(rig, ProofNotMade)[0]
    initial = rig.stores.view().get(INITIAL_POSTS, A.identity)
    assert initial is not None and initial.vrf_nonce == 101


def test_a_proof_of_a_prover_that_cannot_be_one_is_none() -> None:
    rig = Rig(A)
    metadata = PostMetadataV1(bytes(32), LABELS)
    rig.provers[A.identity].failures = [ProvenPost(replace(POST, indices=bytes(801)), metadata, 10, GOLDEN, 5)]
    rig.run_until(Instant(round_end(3) - 1))
    prover = rig.provers[A.identity]
    (sentence,) = sentences(rig, ProofNotMade)
    assert "cannot be one" in sentence
    prover.failures = [ProvenPost(POST, metadata, 10, GOLDEN, 5)]
    rig.run_until(Instant(round_end(3) + 100 * SECOND))
    assert "another challenge" in sentences(rig, ProofNotMade)[-1]
    ref = rig.stores.view().get(MEMBERSHIPS, A.identity).ref  # type: ignore[union-attr]
    prover.failures = [ProvenPost(POST, PostMetadataV1(ref, LABELS), 1 << 40, GOLDEN, 5)]
    rig.run_until(end_of(3))
    assert "cannot be one" in sentences(rig, ProofNotMade)[-1] and rig.sent_epochs(A) == [3]


def test_the_initial_proof_must_fit_the_space_when_the_round_is_over() -> None:
    rig = Rig(A)
    rig.run_until(Instant(round_end(3) - 1))
    rig.provers[A.identity].units = 20

    def verify(demand: Demand) -> Result | None:
        assert isinstance(demand, VerifyPost)
        is_old = demand.num_units == 20 and demand.metadata.challenge == bytes(32) and demand.post == registered
        return PostVerdict(False) if is_old else None

    registered = rig.stores.view().get(INITIAL_POSTS, A.identity).post  # type: ignore[union-attr]
    rig.results[VerifyPost] = verify
    rig.run_until(end_of(4))
    assert sentences(rig, ChallengeDropped) == ["Its registered initial proof does not fit its space any more."]
    assert rig.sent_epochs(A) == [4]
    initial = rig.stores.view().get(INITIAL_POSTS, A.identity)
    assert initial is not None and initial.num_units == 20 and initial.post != registered


def test_another_initial_proof_than_the_registered_one_changes_nothing() -> None:
    rig = Rig(A)
    rig.run_until(Instant(round_start(3) + 1))
    rows = Rows(rig.stores.view())
    initial = rows.get(INITIAL_POSTS, A.identity)
    assert initial is not None
    rows.put(INITIAL_POSTS, A.identity, replace(initial, post=replace(initial.post, nonce=77)))
    rig.stores.write(rows)
    rig.begin()
    rig.run_until(end_of(3))
    atx = rig.atx(A, 3)
    assert isinstance(atx, ActivationTxV1)
    assert atx.inner.challenge.initial_post == initial.post and rig.sent_epochs(A) == [3]
