"""What the service answers and when it connects again, without a socket, a proof or a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.edge.repeats import Repeats
from api.services.post.machine import Effect, Phase, PostService, Say, Start
from api.services.post.reconnect import GivingUp, Reconnect, Wait
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.post.proof import Proof
from prover.post.metadata import PostMetadata

A, B, C = b"\x0a" * 32, b"\x0b" * 32, b"\x0c" * 32
PROOF = Proof(7, b"\x01\x02", 2**40)
METADATA = PostMetadata(b"\x11" * 32, b"\x22" * 32, 4096, 4, 65536, nonce=0)


def metadata(number: int) -> PostMetadata:
    return PostMetadata(bytes([number]) * 32, b"\x22" * 32, 4096, 4, 65536)


def ask(service: PostService, challenge: bytes, identity: int = 0, now: float = 0.0) -> tuple[str, list[Effect]]:
    """A request for a proof; the answer in a word, and the effects."""
    request = pb.NodeRequest(gen_proof=pb.GenProofRequest(challenge=challenge))
    response, effects = service.receive(identity, request, now)
    answer = response.gen_proof
    if answer.status == pb.GEN_PROOF_STATUS_ERROR:
        assert not answer.HasField("proof") and not answer.HasField("metadata")
        return "error", effects
    assert answer.status == pb.GEN_PROOF_STATUS_OK
    if not answer.HasField("proof"):
        assert not answer.HasField("metadata")
        return "progress", effects
    assert answer.metadata.challenge == challenge, "a proof is given out for its own challenge only"
    return "proof", effects


def starts(effects: list[Effect]) -> list[tuple[int, bytes]]:
    return [(one.identity, one.challenge) for one in effects if isinstance(one, Start)]


def said(effects: list[Effect]) -> str:
    return " ".join(one.text for one in effects if isinstance(one, Say))


def test_a_proof_from_the_first_request_to_the_last() -> None:
    service = PostService([METADATA])
    answer, effects = ask(service, A)
    assert (answer, starts(effects)) == ("progress", [(0, A)])
    assert ask(service, A) == ("progress", [])
    service.made(0, PROOF, 1.0)
    assert service.states[0].phase is Phase.DONE
    request = pb.NodeRequest(gen_proof=pb.GenProofRequest(challenge=A))
    response, _ = service.receive(0, request, 2.0)
    assert (response.gen_proof.proof.nonce, response.gen_proof.proof.indices) == (7, b"\x01\x02")
    assert response.gen_proof.proof.pow == 2**40
    meta = response.gen_proof.metadata.meta
    assert (meta.node_id, meta.num_units, meta.nonce, meta.HasField("nonce")) == (METADATA.node_id, 4, 0, True)
    assert service.states[0].phase is Phase.IDLE
    answer, effects = ask(service, A)
    assert (answer, starts(effects)) == ("progress", [(0, A)]), "asked again it is made again"


def test_metadata_without_a_nonce_has_no_field() -> None:
    response, _ = PostService([metadata(1)]).receive(0, pb.NodeRequest(metadata=pb.MetadataRequest()), 0.0)
    assert not response.metadata.meta.HasField("nonce")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_challenge_of_another_size_is_an_error_with_a_reason(size: int) -> None:
    service = PostService([METADATA])
    answer, effects = ask(service, bytes(size))
    assert (answer, starts(effects)) == ("error", [])
    assert f"has {size} bytes, expected 32" in said(effects)
    fault = service.states[0].fault
    assert fault is not None and fault.kind == "challenge" and f"{size} bytes" in fault.text
    assert ask(service, A)[0] == "progress"


def test_a_request_without_a_kind() -> None:
    service = PostService([METADATA])
    response, effects = service.receive(0, pb.NodeRequest(), 0.0)
    assert response.SerializeToString() == bytes.fromhex("12020802")
    assert "kind" in said(effects)


def test_another_challenge_while_one_is_in_work() -> None:
    service = PostService([METADATA])
    ask(service, A)
    answer, effects = ask(service, B)
    assert (answer, starts(effects)) == ("error", []) and "that one goes on" in said(effects)
    assert ask(service, A)[0] == "progress"
    service.made(0, PROOF, 1.0)
    assert ask(service, A)[0] == "proof"


def test_an_error_is_told_once_and_the_next_request_starts_afresh() -> None:
    service = PostService([METADATA])
    ask(service, A)
    effects = service.failed(0, "the disk is gone.", 1.0)
    assert "the disk is gone" in said(effects)
    assert ask(service, A) == ("error", [])
    answer, effects = ask(service, A)
    assert (answer, starts(effects)) == ("progress", [(0, A)])
    assert service.states[0].refusals == {"proof": 1}


def test_an_error_does_not_stand_in_the_way_of_another_challenge() -> None:
    service = PostService([METADATA])
    ask(service, A)
    service.failed(0, "why", 1.0)
    answer, effects = ask(service, B)
    assert (answer, starts(effects)) == ("progress", [(0, B)])


def test_a_finished_proof_does_not_stand_in_the_way_either() -> None:
    service = PostService([METADATA])
    ask(service, A)
    service.made(0, PROOF, 1.0)
    answer, effects = ask(service, B)
    assert (answer, starts(effects)) == ("progress", [(0, B)])
    assert "did not fetch" in said(effects)
    service.made(0, PROOF, 2.0)
    assert ask(service, B)[0] == "proof"


def test_a_finished_proof_is_kept_while_the_node_asks_nonsense() -> None:
    service = PostService([METADATA])
    ask(service, A)
    service.made(0, PROOF, 1.0)
    assert ask(service, b"short")[0] == "error"
    assert ask(service, A)[0] == "proof"


def test_proofs_of_several_identities_are_made_one_after_another() -> None:
    service = PostService([metadata(1), metadata(2), metadata(3)])
    assert starts(ask(service, A, 0)[1]) == [(0, A)]
    for identity in (2, 1):
        answer, effects = ask(service, A, identity)
        assert (answer, starts(effects)) == ("progress", [])
        assert service.states[identity].phase is Phase.QUEUED
    assert ask(service, A, 2) == ("progress", [])
    assert starts(service.failed(0, "why", 1.0)) == [(2, A)]
    assert starts(service.made(2, PROOF, 2.0)) == [(1, A)]
    assert starts(service.made(1, PROOF, 3.0)) == []
    assert [ask(service, A, identity)[0] for identity in (0, 1, 2)] == ["error", "proof", "proof"]


def test_who_waits_in_the_queue_may_ask_for_something_newer() -> None:
    service = PostService([metadata(1), metadata(2)])
    ask(service, A, 0)
    ask(service, A, 1)
    assert ask(service, B, 1)[0] == "progress"
    assert starts(service.made(0, PROOF, 1.0)) == [(1, B)]
    assert starts(service.made(1, PROOF, 2.0)) == [], "it is in the queue once"


EVENTS = st.tuples(
    st.sampled_from(["ask", "made", "failed", "invalid"]), st.integers(0, 1), st.sampled_from([A, B, b"x"])
)


@given(st.lists(EVENTS, max_size=60))
def test_there_is_no_dead_end(events: list[tuple[str, int, bytes]]) -> None:
    """After anything, a proof that is asked for until it ends is made, for the challenge that was asked for."""
    service = PostService([metadata(1), metadata(2)])
    for what, identity, challenge in events:
        if what == "ask":
            ask(service, challenge, identity)
        elif service.working is not None and what == "made":
            service.made(service.working, PROOF, 0.0)
        elif service.working is not None:
            service.failed(service.working, "why", 0.0, in_check=what == "invalid")
    for _ in range(4):  # what is in work and in the queue ends first
        if service.working is not None:
            service.made(service.working, PROOF, 0.0)
    answers = [ask(service, C)[0]]
    assert service.working == 0
    service.made(0, PROOF, 0.0)
    answers.append(ask(service, C)[0])
    assert answers == ["progress", "proof"]


def test_the_same_sentence_is_said_once_a_minute() -> None:
    voice = Repeats()
    assert [voice.once("no", now) for now in (0, 5, 59.9)] == ["no", None, None]
    assert voice.once("yes", 59.9) == "yes"
    assert [voice.once("no", now) for now in (60, 61)] == ["no", None]


def sentences(waits: list[Wait]) -> list[str]:
    return [one.say for one in waits if one.say is not None]


def test_a_node_that_is_away_is_mentioned_once_a_minute() -> None:
    policy = Reconnect("http://node:1", 5.0)
    waits = [policy.failed("Connection refused", now) for now in range(0, 121, 5)]
    assert {one.seconds for one in waits} == {5.0}
    assert len(sentences(waits)) == 3
    assert "http://node:1" in sentences(waits)[0] and "Connection refused" in sentences(waits)[0]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_n_retries_are_one_more_attempt(retries: int) -> None:
    policy = Reconnect("http://node:1", 5.0, retries)
    for now in range(retries):
        policy.failed("no", float(now))
    with pytest.raises(GivingUp, match=rf"max retries \({retries}\) reached"):
        policy.failed("no", 99.0)
    assert GivingUp.exit_code == 1


def test_attempts_are_counted_since_the_last_connection() -> None:
    policy = Reconnect("http://node:1", 5.0, 1)
    for now in range(10):
        policy.failed("no", float(now))
        policy.connected(float(now))
        policy.ended("post service already registered (UNKNOWN)", float(now))
    assert (policy.connections, policy.failures, policy.attempts) == (10, 10, 0)


def test_a_refusal_of_the_node_is_mentioned_once_a_minute_in_its_own_words() -> None:
    policy = Reconnect("http://node:1", 5.0)
    lines: list[str] = []
    for now in range(0, 60, 5):
        said = policy.connected(float(now))
        wait = policy.ended("post service already registered (UNKNOWN)", float(now))
        lines += [one for one in (said, wait.say) if one is not None]
    assert len(lines) == 2 and "post service already registered" in lines[1]
    assert policy.connected_since is None and policy.problem is not None
