"""Which peers are the best, and how requests and answers stand on a stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.contract.demands import Failed
from node.contract.messages import PeerId
from node.fetch.peers import PeerScores
from node.p2p.frames import (
    MAX_REQUEST_BYTES,
    read_request,
    read_response,
    request_frame,
    response_frame,
)
from node.p2p.wire import varint
from node.sim.chance import Chance
from protocol.numbers.durations import MILLISECOND
from protocol.types.fetch import MAX_ERROR_SIZE

A, B, C = PeerId(b"a"), PeerId(b"b"), PeerId(b"c")


def scores(*peers: PeerId) -> PeerScores:
    return PeerScores(lambda: list(peers), Chance(1))


def test_averages_are_those_of_the_network() -> None:
    found = scores(A, B, C)
    found.answered(A, 100, 1000)
    found.answered(B, 100, 2000)
    average = 1000 + (2000 - 1000) / 25
    assert (found.score(A), found.score(B)) == (1000, 2000)
    assert found.score(C) == 0.9 * average
    found.answered(A, 10 * 1024, 30_000)
    assert found.score(A) == 1000 + (3000 - 1000) / 10
    average += (3000 - average) / 25
    found.failed(A, 5000)
    average += (5000 - average) / 25
    assert found.score(A) == pytest.approx(1200 + (5000 - 1200) / 10 + average / 3)


def test_the_best_come_first_and_ties_are_by_name() -> None:
    found = scores(C, B, A)
    assert found.best(5) == [A, B, C]
    found.answered(A, 0, 3 * MILLISECOND)
    found.answered(C, 0, MILLISECOND)
    assert found.best(5) == [C, B, A] and found.best(2) == [C, B] and found.best(5, without=(C,)) == [B, A]
    assert found.best_of([A, C]) == C and found.best_of([]) is None
    assert sorted(found.best_shuffled(2)) == [B, C]


def test_who_goes_is_forgotten() -> None:
    connected = [A, B]
    found = PeerScores(lambda: connected, Chance(1))
    for number in range(100):
        peer = PeerId(b"peer %d" % number)
        found.failed(peer, 5)
    assert found.best(5) == [A, B] and len(found._records) == 0
    found.failed(A, 1000)
    connected.remove(A)
    found.best(1)
    found.answered(B, 0, 10)
    found.best(1)
    connected.append(A)
    assert found.best(2) in ([A, B], [B, A]) and found.score(A) == 0.9 * found._average


# ---- frames ----


@given(st.binary(max_size=MAX_REQUEST_BYTES))
def test_a_request_comes_as_it_was_sent(data: bytes) -> None:
    frame = request_frame(data)
    assert read_request(frame) == read_request(frame + b"more") == data
    for cut in (0, len(frame) // 2, len(frame) - 1):
        assert read_request(frame[:cut]) is None


def test_odd_lengths_are_not_answered() -> None:
    assert read_request(b"\x81\x00" + bytes(10)) == Failed(
        "no_answer", "The length of the request is not written in the shortest form."
    )
    for frame in (b"\x80" * 9 + b"\1", b"\xff" * 20):
        found = read_request(frame)
        assert isinstance(found, Failed) and found.reason == "no_answer"
    found = read_request(varint.encode(MAX_REQUEST_BYTES + 1))
    assert isinstance(found, Failed) and found.reason == "too_large"
    with pytest.raises(ValueError, match="10241"):
        request_frame(bytes(MAX_REQUEST_BYTES + 1))


@given(st.binary(max_size=300))
def test_an_answer_comes_as_it_was_sent(data: bytes) -> None:
    frame = response_frame(data)
    assert frame is not None and read_response(frame) == data


@pytest.mark.parametrize("text", ["oops", "größe", "x" * 2000, "ö" * 2000])
def test_an_error_is_told_as_far_as_it_fits(text: str) -> None:
    frame = response_frame(Failed("refused", text))
    assert frame is not None
    found = read_response(frame)
    assert isinstance(found, Failed) and found.reason == "refused" and text.startswith(found.detail)
    assert len(found.detail.encode()) > min(len(text.encode()), MAX_ERROR_SIZE) - 2


@pytest.mark.parametrize("reason", ["no_answer", "busy", "too_large", "no_protocol"])
def test_what_is_closed_without_an_answer(reason: str) -> None:
    assert response_frame(Failed(reason)) is None
    assert read_response(b"") == Failed("no_answer", "The peer closed without an answer.")


def test_recorded_error() -> None:
    assert response_frame(Failed("refused", "oops")) == bytes.fromhex("00106f6f7073")


@given(st.binary(max_size=60))
def test_no_bytes_raise(data: bytes) -> None:
    read_request(data)
    found = read_response(data)
    assert isinstance(found, (bytes, Failed))
