"""The median of peers' clocks. Known answers: protocol 09b, section 6.6."""

from __future__ import annotations

import pytest

from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.p2p.peers.clocks import ClockRound
from protocol.types.peers import PeersyncRequest, PeersyncResponse


def peer(number: int) -> PeerId:
    return PeerId(bytes([number]))


@pytest.mark.parametrize(
    ("offsets", "median"),
    [
        ([30, 10, 20], 20),
        ([30, 10, 20, 40], 25),
        ([100], 100),
        ([100, 120], 110),
        ([], None),
        ([-3, -4], -3),
        ([3, 4], 3),
        ([1 << 60, (1 << 60) + 2], (1 << 60) + 1),
        ([-(1 << 60), -(1 << 60) - 3], -(1 << 60) - 1),
    ],
)
def test_the_median_counts(offsets: list[int], median: int | None) -> None:
    found = ClockRound(7, Instant(0))
    for number, offset in enumerate(offsets):
        assert found.add(peer(number), 7, offset % (1 << 64), Instant(0))
    assert found.offset == median


def test_half_of_the_way_there_and_back_is_taken_off() -> None:
    found = ClockRound(0, Instant(50))
    for number, received in enumerate((140, 140, 120)):
        found.add(peer(number), 0, 100, Instant(received))
    assert found.offset == 5


def test_other_answers_do_not_count() -> None:
    found = ClockRound(1, Instant(0))
    assert not found.add(peer(1), 2, 100, Instant(0))
    assert found.add(peer(1), 1, 100, Instant(0))
    assert not found.add(peer(1), 1, 900, Instant(0))
    assert (len(found), found.offset) == (1, 100)


def test_messages_are_those_of_the_network() -> None:
    assert PeersyncRequest.codec.encode(PeersyncRequest(0)).hex() == "00"
    answer = PeersyncResponse(1, 1_700_000_000_000_000_000)
    assert PeersyncResponse.codec.encode(answer).hex() == "041300002a36fe9c9717"
