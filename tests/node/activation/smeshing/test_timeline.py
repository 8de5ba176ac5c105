"""The timeline of identities in virtual time: from an initial proof to activations that the own handler takes."""

from __future__ import annotations

from dataclasses import replace

from node.activation.smeshing.events import (
    ChallengeDropped,
    NotAMember,
    NotPublished,
    NotRegisteredAt,
    PostState,
    ProofNotMade,
    Published,
    RegisteredAt,
    RoundProofMissing,
)
from node.activation.smeshing.tables import (
    CERTIFICATES,
    CHALLENGES,
    INITIAL_POSTS,
    MEMBERSHIPS,
    NIPOSTS,
    REGISTRATIONS,
    ROUND_PROOFS,
)
from node.activation.tables import ATXS, POET_BLOBS
from node.contract.demands import (
    Certified,
    CertifyAtPoet,
    Demand,
    Failed,
    PostVerdict,
    ProvenPost,
    RegisterAtPoet,
    Registered,
    Result,
    VerifyPoet,
    VerifyPost,
)
from node.contract.instants import Instant
from node.contract.owed import OWED
from node.store.own import OwnStore
from node.store.view import Rows
from protocol.numbers.durations import SECOND
from protocol.types.activation import ActivationTxV1, PostMetadataV1
from protocol.types.activation_v2 import ActivationTxV2
from protocol.types.ids import EMPTY_ATX_ID, EpochId
from tests.node.activation.forge import COINBASE, GOLDEN, LABELS, POST, TICK, v1

from .rig import OWN, PARAMETERS, POET_A, POET_B, STATE, TIMELINE, A, B, C, Rig, copied

START = TIMELINE.epoch_start(2)
MAKING = (CHALLENGES, REGISTRATIONS, MEMBERSHIPS, ROUND_PROOFS, NIPOSTS)


def end_of(epoch: int) -> Instant:
    """Just before an epoch is over."""
    return Instant(TIMELINE.publication_end(EpochId(epoch)) - 1)


def round_start(publish: int) -> Instant:
    return TIMELINE.round_start(EpochId(publish))


def round_end(publish: int) -> Instant:
    return TIMELINE.round_end(EpochId(publish))


def sentences(rig: Rig, kind: type[ChallengeDropped] | type[ProofNotMade] | type[NotPublished]) -> list[str]:
    return [event.sentence for event in rig.of(kind)]


# ---- as it should go ----


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
    assert [event.is_proving for event in rig.of(PostState)] == [True, False] * 2
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


# ---- PoET servers ----


def test_a_server_that_is_down_is_asked_until_the_round_starts() -> None:
    rig = Rig(A)
    rig.poets[POET_A].is_up = False
    rig.run_until(Instant(round_start(3) - 30 * SECOND))
    refused = [event for event in rig.of(NotRegisteredAt) if event.server == POET_A]
    assert len(refused) > 10 and refused[0].detail == "connection refused"
    assert len(rig.poets[POET_B].registered) == 1  # each server by itself
    rig.poets[POET_A].is_up = True
    rig.poets[POET_A].leaf_count = 90 * TICK
    rig.run_until(end_of(3))
    assert rig.sent_epochs(A) == [3] and rig.stored(rig.atx(A, 3).id()).ticks == 90


def test_one_server_is_enough() -> None:
    rig = Rig(A)
    rig.poets[POET_A].is_up = False
    rig.run_until(end_of(3))
    assert rig.sent_epochs(A) == [3]
    assert rig.poets[POET_A].registered == [] and rig.poets[POET_A].asked == []


def test_without_a_registration_the_next_round_is_planned() -> None:
    rig = Rig(A)
    for poet in rig.poets.values():
        poet.is_up = False
    rig.run_until(Instant(round_start(3) + 2 * SECOND))
    assert sentences(rig, ChallengeDropped) == ["No PoET server took its challenge before the round started."]
    for poet in rig.poets.values():
        poet.is_up = True
    rig.run_until(end_of(4))
    assert rig.sent_epochs(A) == [4]
    assert [len(poet.registered) for poet in rig.poets.values()] == [2, 2]  # for epoch 4, and 5 by now


def test_an_answer_that_comes_just_after_the_round_has_started_counts() -> None:
    for delay, expected in ((10 * SECOND, 0), (30 * SECOND, 1)):
        rig = Rig(A)
        rig.withheld = lambda demand: isinstance(demand, RegisterAtPoet)
        rig.run_until(Instant(round_start(3) + delay))
        assert len(rig.of(ChallengeDropped)) == expected

        def register(demand: Demand) -> Result | None:
            assert isinstance(demand, RegisterAtPoet)
            poet = rig.poets[demand.server]  # noqa: B023
            return poet.register(demand, min(rig.now, demand.deadline))  # noqa: B023

        rig.results[RegisterAtPoet] = register
        rig.withheld = lambda demand: False
        rig.run_until(end_of(3))
        assert rig.sent_epochs(A) == ([] if expected else [3])


def test_a_server_with_another_challenge_is_not_asked_again() -> None:
    rig = Rig(A)
    rig.poets[POET_A].rounds[2] = {bytes(A.identity): bytes(32)}
    rig.run_until(end_of(3))
    conflicts = [event.reason for event in rig.of(NotRegisteredAt)]
    assert conflicts == ["conflict"] and rig.sent_epochs(A) == [3]


def test_who_registered_and_does_not_count_us_is_passed_over() -> None:
    rig = Rig(A)
    rig.poets[POET_A].forgets = True
    rig.poets[POET_A].leaf_count = 90 * TICK
    rig.run_until(end_of(3))
    assert [(event.server, event.round_id) for event in rig.of(NotAMember)] == [(POET_A, "2")]
    assert rig.sent_epochs(A) == [3] and rig.stored(rig.atx(A, 3).id()).ticks == 50


def test_where_nobody_counts_us_the_next_round_is_not_missed() -> None:
    rig = Rig(A)
    for poet in rig.poets.values():
        poet.forgets = True
    rig.run_until(round_start(4))
    (sentence,) = sentences(rig, ChallengeDropped)
    assert "members" in sentence
    for poet in rig.poets.values():
        poet.forgets = False
    rig.run_until(end_of(4))
    assert rig.sent_epochs(A) == [4]


def test_another_server_may_have_the_round_of_one_that_is_gone() -> None:
    rig = Rig(A)
    rig.poets[POET_B].is_up = False  # no registration there
    rig.run_until(Instant(round_start(3) + 1))
    rig.poets[POET_A].has_proofs = False
    rig.poets[POET_B].rounds = rig.poets[POET_A].rounds  # its operator moved the round
    rig.run_until(end_of(3))
    assert rig.sent_epochs(A) == [3] and "2" in rig.poets[POET_B].asked


def test_a_proof_that_is_late_is_waited_for_and_one_that_never_comes_is_not() -> None:
    rig = Rig(A)
    for poet in rig.poets.values():
        poet.has_proofs = False
    rig.run_until(Instant(TIMELINE.proof_deadline(EpochId(3)) - 100 * SECOND))
    assert len(rig.of(RoundProofMissing)) > 10 and rig.of(ChallengeDropped) == []
    rig.poets[POET_B].has_proofs = True
    rig.run_until(end_of(3))
    assert rig.sent_epochs(A) == [3]
    rig = Rig(A)
    for poet in rig.poets.values():
        poet.has_proofs = False
    rig.run_until(Instant(TIMELINE.proof_deadline(EpochId(3)) + 2))
    assert sentences(rig, ChallengeDropped) == ["No PoET server gave a proof of the round in time."]


def test_a_server_that_says_its_round_never_ends_is_not_waited_for() -> None:
    rig = Rig(A)

    def register(demand: Demand) -> Result | None:
        assert isinstance(demand, RegisterAtPoet)
        found = rig.poets[demand.server].register(demand, rig.now)
        assert isinstance(found, Registered)
        return replace(found, round_end=Instant(1 << 63)) if demand.server == POET_A else found

    rig.results[RegisterAtPoet] = register
    rig.run_until(end_of(3))
    assert rig.sent_epochs(A) == [3] and rig.poets[POET_A].asked == []


def test_a_proof_that_does_not_hold_is_none() -> None:
    rig = Rig(A)
    lying = rig.poets[POET_A]
    lying.leaf_count = 1000 * TICK

    def verify(demand: Demand) -> Result | None:
        assert isinstance(demand, VerifyPoet)
        return demand.proof.proof.leaf_count < 1000 * TICK

    rig.results[VerifyPoet] = verify
    rig.run_until(end_of(3))
    assert rig.sent_epochs(A) == [3] and rig.stored(rig.atx(A, 3).id()).ticks == 50
    (missing,) = [event for event in rig.of(RoundProofMissing) if event.server == POET_A]
    assert (missing.reason, missing.detail) == ("invalid", "The proof does not hold.")


def test_servers_that_are_configured_anew_before_the_round_starts() -> None:
    rig = Rig(A, parameters=replace(PARAMETERS, servers=(POET_A,)))
    rig.run_until(Instant(round_start(3) - 100 * SECOND))
    assert len(rig.poets[POET_A].registered) == 1
    rig.parameters = replace(PARAMETERS, servers=(POET_B,))
    rig.begin()
    rig.run_until(end_of(3))
    assert len(rig.poets[POET_B].registered) == 2 and len(rig.poets[POET_A].registered) == 1
    assert rig.sent_epochs(A) == [3] and rig.poets[POET_A].asked == []


def test_servers_that_are_configured_anew_after_that_stop_the_identity_with_a_sentence() -> None:
    rig = Rig(A, parameters=replace(PARAMETERS, servers=(POET_A,)))
    rig.run_until(Instant(round_start(3) + 100 * SECOND))
    rig.parameters = replace(PARAMETERS, servers=(POET_B,))
    rig.begin()
    rig.run_until(Instant(round_start(3) + 200 * SECOND))
    assert list(rig.stopped) == [A.identity]
    assert POET_A in rig.stopped[A.identity] and POET_B in rig.stopped[A.identity]
    # nothing is lost: with the right server it goes on
    rig.add_key(A)
    rig.parameters = replace(PARAMETERS, servers=(POET_A, POET_B))
    rig.begin()
    rig.run_until(end_of(3))
    assert rig.sent_epochs(A) == [3] and rig.poets[POET_B].registered[0].deadline == round_start(4)


def test_certificates_are_had_before_they_are_needed_and_kept() -> None:
    rig = Rig(A)
    first, second = Certified(b"k" * 32, b"one", b"s" * 64), Certified(b"k" * 32, b"two", b"s" * 64)
    asked: list[CertifyAtPoet] = []

    def certify(demand: Demand) -> Result | None:
        assert isinstance(demand, CertifyAtPoet)
        asked.append(demand)
        return first if demand.server == POET_A else None

    def register(demand: Demand) -> Result | None:
        assert isinstance(demand, RegisterAtPoet)
        found = rig.poets[demand.server].register(demand, rig.now)
        assert isinstance(found, Registered)
        return replace(found, certificate=second) if demand.server == POET_A else found

    rig.results = {CertifyAtPoet: certify, RegisterAtPoet: register}
    rig.run_until(round_start(3))
    initial = rig.stores.view().get(INITIAL_POSTS, A.identity)
    assert initial is not None and sorted(one.server for one in asked) == [POET_A, POET_B]
    assert (asked[0].space.post, asked[0].space.challenge, asked[0].space.num_units) == (initial.post, bytes(32), 10)
    assert rig.poets[POET_A].registered[0].certificates == (first,)
    assert rig.poets[POET_A].registered[0].space == asked[0].space
    kept = rig.stores.view().get(CERTIFICATES, (A.identity, b"k" * 32))
    assert kept is not None and kept.certificate == b"two"  # the server had refused the first
    rig.run_until(Instant(round_end(3) + 100 * SECOND))
    rig.begin()
    rig.run_until(Instant(rig.now + 1))
    assert asked[-1].certificates == (second,)


# ---- the prover ----


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


# ---- signing and publishing ----


def test_nothing_new_is_signed_before_the_node_is_synced() -> None:
    rig = Rig(A)
    rig.is_synced = False
    rig.run_until(Instant(round_start(3) - 100 * SECOND))
    assert rig.of(RegisteredAt) == [] and rig.stores.view().has(INITIAL_POSTS, A.identity)
    rig.is_synced = True
    rig.run_until(Instant(round_end(3) - 1))
    assert len(rig.of(RegisteredAt)) == 0  # the layer after came when the round had started
    rig = Rig(A)
    rig.run_until(Instant(round_start(3) + 1))
    rig.is_synced = False
    rig.begin()
    rig.run_until(Instant(round_end(3) + 400 * SECOND))
    # proofs are made meanwhile; to sign, what others know of the identity must be here
    assert rig.stores.view().has(NIPOSTS, A.identity) and rig.signed(A) == {}
    rig.is_synced = True
    rig.run_until(end_of(3))
    assert rig.sent_epochs(A) == [3]


def test_what_the_own_handler_does_not_take_is_published_again_as_it_was_signed() -> None:
    rig = Rig(A)
    rig.run_until(Instant(round_end(3) - 1))

    def verify(demand: Demand) -> Result | None:
        assert isinstance(demand, VerifyPost)
        return None if demand.is_urgent else Failed("stopped")  # only the handler's own checks fail

    rig.results[VerifyPost] = verify
    rig.run_until(Instant(round_end(3) + 700 * SECOND))
    refused = sentences(rig, NotPublished)
    assert len(refused) >= 2 and "could not be checked" in refused[0]
    (signed,) = rig.signed(A).values()
    assert rig.sent == [] and rig.of(Published) == []
    rig.results.clear()
    rig.run_until(end_of(3))
    assert rig.sent == [signed] and rig.signed(A)[3] == signed


def test_what_the_network_did_not_take_is_sent_after_a_restart() -> None:
    rig = Rig(A)
    rig.sends = False
    rig.begin()
    rig.run_until(Instant(round_end(3) + 100 * SECOND))
    assert len(rig.sent) == 1 and rig.of(Published) == []
    assert len(list(rig.stores.view().keys(OWED))) == 1
    rig.is_synced = False  # it is signed already, so that need not be waited for
    rig.sends, rig.sent = True, []
    rig.begin()
    rig.run_until(Instant(rig.now + SECOND))
    assert rig.sent == [rig.signed(A)[3]] and len(rig.of(Published)) == 1
    assert list(rig.stores.view().keys(OWED)) == []


def test_a_signed_one_that_the_state_does_not_know_goes_out_before_anything_is_built_beside_it() -> None:
    rig = Rig(A)
    rig.run_until(end_of(3))
    backup = copied(rig.stores.view(), STATE)
    rig.run_until(Instant(round_end(4) + 100 * SECOND))
    assert rig.sent_epochs(A) == [3, 4]
    signed, sent = rig.signed(A), rig.sent
    rig.objects |= dict(rig.stores.view().scan(POET_BLOBS))  # peers have got them with the activation
    rig.stores.state = backup
    rig.sent = []
    rig.begin()
    assert rig.stores.view().get(ATXS, rig.atx(A, 4).id()) is None
    rig.run_until(end_of(5))
    assert rig.sent[0] == sent[-1] and rig.sent_epochs(A) == [4, 5]
    last = rig.atx(A, 5)
    assert isinstance(last, ActivationTxV1)
    assert last.inner.challenge.prev_atx == rig.atx(A, 4).id() and rig.signed(A)[4] == signed[4]


def test_an_activation_from_elsewhere_stops_the_identity() -> None:
    rig = Rig(A)
    rig.run_until(Instant(START + 100 * SECOND))
    rig.receive(v1(A, 2))
    assert list(rig.stopped) == [A.identity] and "in use elsewhere" in rig.stopped[A.identity]


def test_an_activation_of_the_past_that_sync_brings_counts_as_signed() -> None:
    rig = Rig(A)
    forged = v1(A, 1)
    rig.receive(forged)
    assert rig.stopped == {} and rig.signed(A) == {1: forged.data}
    rig.run_until(end_of(3))
    atx = rig.atx(A, 3)
    assert isinstance(atx, ActivationTxV1)
    assert (atx.inner.challenge.prev_atx, atx.inner.challenge.sequence) == (forged.id, 1)


def test_an_activation_that_comes_between_challenge_and_publication_is_not_contradicted() -> None:
    rig = Rig(A)
    rig.run_until(Instant(round_start(3) + 1))
    rig.receive(v1(A, 1))  # sync was late: the identity is no new one
    rig.run_until(end_of(3))
    assert rig.signed(A).keys() == {1} and rig.sent == []
    (sentence,) = sentences(rig, ChallengeDropped)
    assert "contradict" in sentence
    rig.run_until(end_of(4))
    assert rig.sent_epochs(A) == [4]
    atx = rig.atx(A, 4)
    assert isinstance(atx, ActivationTxV1) and atx.inner.challenge.prev_atx == v1(A, 1).id


def test_what_is_stored_counts_as_signed_where_the_own_store_is_new() -> None:
    rig = Rig(A)
    rig.run_until(end_of(3))
    rig.stores.own = OwnStore.in_memory(OWN)
    rig.begin()
    assert set(rig.signed(A)) == {3}
    rig.run_until(end_of(4))
    assert rig.stopped == {}


def test_activations_of_the_epoch_are_sent_again() -> None:
    rig = Rig(A, parameters=replace(PARAMETERS, regossip_interval=300 * SECOND))
    rig.run_until(end_of(3))
    log = [data for data in rig.world.sent() if data == rig.signed(A)[3]]
    assert len(log) == 1 + (end_of(3) - round_end(3) - 60 * SECOND) // (300 * SECOND)
    rig.run_until(Instant(end_of(4) - 2000 * SECOND))
    assert len([data for data in rig.world.sent() if data == rig.signed(A)[3]]) == len(log)
