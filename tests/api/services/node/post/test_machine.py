"""What a node says to PoST services: strictly one request at a time, whatever is wanted and whoever goes away."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from api.edge.rpc import Status
from api.services.node.post.machine import (
    GONE,
    NOT_THERE,
    Effect,
    End,
    PostServers,
    Say,
    Send,
    Tell,
    Wait,
    states,
)
from node.contract.demands import Failed, HeldSpace, ProvenPost
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.types.activation import PostMetadataV1, PostV1
from protocol.types.ids import AtxId, NodeId

A, B = NodeId(b"a" * 32), NodeId(b"b" * 32)
ONE, OTHER = b"\x01" * 32, b"\x02" * 32
META = pb.Metadata(node_id=A, commitment_atx_id=bytes(32), num_units=2, labels_per_unit=128, nonce=0)
HELLO = pb.ServiceResponse(metadata=pb.MetadataResponse(meta=META))
WORKING = pb.ServiceResponse(gen_proof=pb.GenProofResponse(status=pb.GEN_PROOF_STATUS_OK))


def proof(challenge: bytes = ONE, meta: pb.Metadata = META) -> pb.ServiceResponse:
    found = pb.GenProofResponse(
        status=pb.GEN_PROOF_STATUS_OK,
        proof=pb.Proof(nonce=7, indices=b"\x01\x02", pow=9),
        metadata=pb.ProofMetadata(challenge=challenge, meta=meta),
    )
    return pb.ServiceResponse(gen_proof=found)


def without_words(effects: list[Effect]) -> list[Effect]:
    return [one for one in effects if not isinstance(one, Say)]


def wants(challenge: bytes) -> pb.NodeRequest:
    return pb.NodeRequest(gen_proof=pb.GenProofRequest(challenge=challenge))


def connected() -> PostServers:
    servers = PostServers()
    assert servers.connect(1, is_allowed=True) == [Send(1, pb.NodeRequest(metadata=pb.MetadataRequest()))]
    assert without_words(servers.receive(1, HELLO)) == []
    return servers


def test_a_proof_is_asked_for_again_until_it_is_there() -> None:
    servers = connected()
    assert not servers.is_at_work
    assert servers.prove(5, A, ONE) == [Send(1, wants(ONE))]
    assert servers.receive(1, WORKING) == [Wait(1, 1)]
    assert servers.is_at_work
    assert servers.poll(1, 1) == [Send(1, wants(ONE))]
    assert servers.poll(1, 1) == [], "one time is one request"
    assert servers.receive(1, WORKING) == [Wait(1, 2)]
    assert servers.poll(1, 1) == [], "that one is long over"
    assert servers.poll(1, 2) == [Send(1, wants(ONE))]
    made = ProvenPost(PostV1(7, b"\x01\x02", 9), PostMetadataV1(ONE, 128), 2, AtxId(bytes(32)), 0)
    assert servers.receive(1, proof()) == [Tell(5, made)]
    assert not servers.is_proving(A) and not servers.is_at_work


def test_a_nonce_that_is_not_said_is_none() -> None:
    servers = connected()
    servers.prove(5, A, ONE)
    meta = pb.Metadata(node_id=A, commitment_atx_id=bytes(32), num_units=2, labels_per_unit=128)
    (told,) = servers.receive(1, proof(meta=meta))
    assert isinstance(told, Tell) and isinstance(told.result, ProvenPost) and told.result.vrf_nonce is None


def test_what_it_holds_is_asked_between_two_requests_for_a_proof() -> None:
    servers = connected()
    servers.prove(5, A, ONE)
    assert servers.describe(6, A) == [], "one request at a time"
    effects = servers.receive(1, WORKING)
    assert effects == [Wait(1, 1), Send(1, pb.NodeRequest(metadata=pb.MetadataRequest()))]
    assert servers.poll(1, 1) == []
    assert servers.receive(1, HELLO) == [Tell(6, HeldSpace(AtxId(bytes(32)), 2)), Send(1, wants(ONE))]


def test_a_second_proof_waits_for_the_first() -> None:
    servers = connected()
    servers.prove(5, A, ONE)
    assert servers.prove(6, A, OTHER) == []
    assert servers.receive(1, WORKING) == [Wait(1, 1)]
    servers.poll(1, 1)
    effects = servers.receive(1, proof())
    assert isinstance(effects[0], Tell) and effects[1:] == [Send(1, wants(OTHER))]


BAD: list[tuple[str, pb.ServiceResponse, str]] = [
    ("error", pb.ServiceResponse(gen_proof=pb.GenProofResponse(status=pb.GEN_PROOF_STATUS_ERROR)), "refused"),
    ("unspecified", pb.ServiceResponse(gen_proof=pb.GenProofResponse()), "bad_answer"),
    ("an unknown status", pb.ServiceResponse(gen_proof=pb.GenProofResponse(status=9)), "bad_answer"),  # type: ignore[arg-type]
    ("nothing", pb.ServiceResponse(), "bad_answer"),
    ("metadata", HELLO, "bad_answer"),
    ("another challenge", proof(OTHER), "bad_answer"),
    ("a short commitment", proof(meta=pb.Metadata(node_id=A, commitment_atx_id=b"x")), "bad_answer"),
    (
        "no metadata",
        pb.ServiceResponse(gen_proof=pb.GenProofResponse(status=pb.GEN_PROOF_STATUS_OK, proof=pb.Proof(nonce=1))),
        "bad_answer",
    ),
]


@pytest.mark.parametrize(("name", "answer", "reason"), BAD, ids=[name for name, _, _ in BAD])
def test_a_bad_answer_fails_the_call_and_leaves_the_stream(name: str, answer: pb.ServiceResponse, reason: str) -> None:
    servers = connected()
    servers.prove(5, A, ONE)
    effects = servers.receive(1, answer)
    assert any(isinstance(one, Say) for one in effects), "the log says why"
    (told,) = without_words(effects)
    assert isinstance(told, Tell) and told.call == 5
    assert isinstance(told.result, Failed) and told.result.reason == reason
    assert servers.is_proving(A), "it is wanted still"
    assert servers.prove(6, A, ONE) == [Send(1, wants(ONE))]


@pytest.mark.parametrize("answer", [WORKING, pb.ServiceResponse(), pb.ServiceResponse(metadata=pb.MetadataResponse())])
def test_a_bad_description_fails_the_call(answer: pb.ServiceResponse) -> None:
    servers = connected()
    servers.describe(6, A)
    (told,) = without_words(servers.receive(1, answer))
    assert isinstance(told, Tell) and isinstance(told.result, Failed) and told.result.reason == "bad_answer"


def test_who_goes_away_leaves_nobody_waiting() -> None:
    servers = connected()
    servers.prove(5, A, ONE)
    servers.receive(1, WORKING)
    servers.prove(6, A, OTHER)
    servers.describe(7, A)
    servers.describe(8, A)
    effects = without_words(servers.gone(1))
    assert sorted(one.call for one in effects if isinstance(one, Tell) and one.result == GONE) == [5, 6, 7, 8]
    assert servers.gone(1) == [] and servers.poll(1, 1) == []
    assert servers.prove(9, A, ONE) == [Tell(9, NOT_THERE)] and servers.is_proving(A)
    servers.connect(2, is_allowed=True)
    servers.receive(2, HELLO)
    assert servers.prove(10, A, ONE) == [Send(2, wants(ONE))]


def test_the_first_stream_of_an_identity_stays() -> None:
    servers = connected()
    servers.connect(2, is_allowed=True)
    (end,) = without_words(servers.receive(2, HELLO))
    assert end == End(2, Status.UNKNOWN, "post service already registered")
    assert servers.gone(2) == [] and servers.connected() == {A}
    assert servers.prove(5, A, ONE) == [Send(1, wants(ONE))]


def test_what_is_given_up_is_asked_for_no_more() -> None:
    servers = connected()
    servers.prove(5, A, ONE)
    servers.receive(1, WORKING)
    assert servers.give_up(5) == [] and servers.poll(1, 1) == [] and not servers.is_proving(A)
    servers.prove(6, A, ONE)
    assert servers.give_up(6) == []
    assert servers.prove(7, A, OTHER) == [], "the answer to the other one is still to come"
    assert servers.receive(1, proof()) == [Send(1, wants(OTHER))], "which nobody is told"
    servers.describe(8, A)
    servers.give_up(8)
    assert servers.receive(1, proof(OTHER))[0] == Tell(
        7, ProvenPost(PostV1(7, b"\x01\x02", 9), PostMetadataV1(OTHER, 128), 2, AtxId(bytes(32)), 0)
    )
    assert servers.prove(9, A, ONE) == [Send(1, wants(ONE))]
    servers.give_up(9)
    assert without_words(servers.gone(1)) == []


def test_what_a_service_says_of_itself_fills_no_log() -> None:
    servers = PostServers()
    long = pb.Metadata(node_id=b"n" * 1_000_000, commitment_atx_id=bytes(32))
    servers.connect(1, is_allowed=True)
    (said,) = servers.receive(1, pb.ServiceResponse(metadata=pb.MetadataResponse(meta=long)))
    assert isinstance(said, Say) and len(said.text) < 300 and "1000000 bytes" in said.text
    servers.prove(5, NodeId(long.node_id), ONE)
    effects = servers.receive(1, proof(b"c" * 1_000_000))
    assert all(len(str(one)) < 1000 for one in effects), "nor an answer"


def test_without_a_coinbase_nobody_is_let_in() -> None:
    (end,) = PostServers().connect(1, is_allowed=False)
    assert isinstance(end, End) and end.status is Status.FAILED_PRECONDITION


def test_states_are_those_of_the_own_identities() -> None:
    servers = connected()
    servers.prove(5, A, ONE)
    found = states(servers, [(A, "a.key"), (B, "b.key")])
    assert [(one.id, one.state, one.name) for one in found.states] == [
        (A, pb.PostState.PROVING, "a.key"),
        (B, pb.PostState.IDLE, "b.key"),
    ]


ANSWERS = [HELLO, WORKING, proof(), proof(OTHER), pb.ServiceResponse(), BAD[0][1], BAD[-1][1]]
DEEDS = some.tuples(some.sampled_from(["connect", "answer", "gone", "prove", "describe", "poll", "give up"]),
                    some.integers(0, 3), some.integers(0, len(ANSWERS) - 1))  # fmt: skip


@given(some.lists(DEEDS, max_size=60))
def test_whatever_comes_every_call_has_one_answer_and_every_stream_one_open_request(deeds: list[Any]) -> None:
    servers, open_requests, waits = PostServers(), dict[int, int](), list[tuple[int, int]]()
    told: list[int] = []
    begun: set[int] = set()
    given_up: set[int] = set()
    link = call = 0

    def perform(effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(number):
                    open_requests[number] = open_requests.get(number, 0) + 1
                    assert open_requests[number] == 1
                case End(number):
                    open_requests.pop(number, None)
                case Tell(number):
                    told.append(number)
                case Wait(number, ticket):
                    waits.append((number, ticket))

    for deed, which, answer in deeds:
        match deed:
            case "connect":
                link += 1
                perform(servers.connect(link, is_allowed=bool(which)))
            case "answer":
                for number in [one for one, count in open_requests.items() if count][which:]:
                    open_requests[number] = 0
                    perform(servers.receive(number, ANSWERS[answer]))
                    break
            case "gone":
                open_requests.pop(which, None)
                perform(servers.gone(which))
            case "prove" | "describe":
                call += 1
                begun.add(call)
                perform(servers.prove(call, A, ONE) if deed == "prove" else servers.describe(call, A))
            case "poll" if waits:
                perform(servers.poll(*waits.pop(0)))
            case "give up":
                if call and call - which > 0 and call - which not in told:
                    given_up.add(call - which)
                    perform(servers.give_up(call - which))
    for number in range(1, link + 1):
        perform(servers.gone(number))
    assert len(told) == len(set(told))
    assert set(told) == begun - given_up
