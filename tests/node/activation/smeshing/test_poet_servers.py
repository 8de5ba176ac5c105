"""Smeshing with PoET servers that are down, forget, lie, are late, or are configured anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.activation.smeshing.events import (
    ChallengeDropped,
    NotAMember,
    NotRegisteredAt,
    RoundProofMissing,
)
from node.activation.smeshing.tables import (
    CERTIFICATES,
    INITIAL_POSTS,
)
from node.contract.demands import (
    Certified,
    CertifyAtPoet,
    Demand,
    PoetProofOf,
    RegisterAtPoet,
    Registered,
    Result,
    RoundProof,
    VerifyPoet,
)
from node.contract.instants import Instant
from protocol.numbers.durations import SECOND
from protocol.types.ids import EpochId
from tests.node.activation.forge import TICK

from .rig import Rig, end_of, round_end, round_start, sentences
from .stand_ins import PARAMETERS, POET_A, POET_B, TIMELINE, A


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


@pytest.mark.parametrize("leaves", [(90, 60), (60, 90)])
def test_of_two_rounds_the_one_of_more_ticks_is_taken(leaves: tuple[int, int]) -> None:
    rig = Rig(A)
    for server, ticks in zip((POET_A, POET_B), leaves, strict=True):
        rig.poets[server].leaf_count = ticks * TICK
    rig.run_until(end_of(3))
    assert rig.stored(rig.atx(A, 3).id()).ticks == 90


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


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ((), "no members"),
        ((b"short",), "32 bytes"),
        ((b"x" * 32,), "not over the members"),
    ],
)
def test_a_proof_must_be_over_its_members(members: tuple[bytes, ...], sentence: str) -> None:
    rig = Rig(A)

    def proof(demand: Demand) -> Result | None:
        assert isinstance(demand, PoetProofOf)
        found = rig.poets[demand.server].proof(demand, rig.now)
        assert isinstance(found, RoundProof)
        return replace(found, members=members) if demand.server == POET_A else found

    rig.results[PoetProofOf] = proof
    rig.run_until(end_of(3))
    (missing,) = rig.of(RoundProofMissing)
    assert missing.server == POET_A and sentence in missing.detail
    assert rig.sent_epochs(A) == [3]


@pytest.mark.parametrize(
    "answer",
    [
        Registered("2", Instant(1 << 64)),
        Registered("2", Instant(-1)),
        Registered("2" * 2000, Instant(1 << 60)),
    ],
)
def test_a_registration_that_cannot_be_one_is_none(answer: Registered) -> None:
    rig = Rig(A)

    def register(demand: Demand) -> Result | None:
        assert isinstance(demand, RegisterAtPoet)
        return answer if demand.server == POET_A else None

    rig.results[RegisterAtPoet] = register
    rig.run_until(end_of(3))
    assert {(event.server, event.reason) for event in rig.of(NotRegisteredAt)} == {(POET_A, "invalid")}
    assert rig.sent_epochs(A) == [3]


@pytest.mark.parametrize(
    "certificate", [Certified(b"short", b"one", bytes(64)), Certified(b"k" * 32, bytes(1 << 17), bytes(64))]
)
def test_a_certificate_that_cannot_be_one_is_not_kept(certificate: Certified) -> None:
    rig = Rig(A)

    def register(demand: Demand) -> Result | None:
        assert isinstance(demand, RegisterAtPoet)
        found = rig.poets[demand.server].register(demand, rig.now)
        assert isinstance(found, Registered)
        return replace(found, certificate=certificate)

    rig.results = {CertifyAtPoet: lambda demand: certificate, RegisterAtPoet: register}
    rig.run_until(end_of(3))
    assert rig.sent_epochs(A) == [3] and list(rig.stores.view().keys(CERTIFICATES)) == []


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
