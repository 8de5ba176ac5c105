"""The network of one process: who hears what, once, and who is answered."""

from __future__ import annotations

import pytest

from node.contract.demands import Failed, PeerRequest, Request, Result
from node.contract.inputs import NotSent, Sent
from node.contract.instants import Instant
from node.contract.messages import Message, Origin, PeerId
from node.contract.verdicts import ACCEPT, ignore, reject
from node.p2p.memory import MemoryHost, MemoryNetwork
from node.runtime.clock import SetClock


class Node:
    """A receiver that notes what it is told."""

    def __init__(self, host: MemoryHost) -> None:
        self.host = host
        self.gossip: list[tuple[str, bytes, PeerId]] = []
        self.questions: list[tuple[int, PeerRequest]] = []
        self.results: list[tuple[int, Result | Sent | NotSent]] = []

    def heard(self, topic: str, data: bytes, peer: PeerId) -> None:
        """As Receiver says."""
        self.gossip.append((topic, data, peer))

    def asked(self, number: int, request: PeerRequest) -> None:
        """As Receiver says."""
        self.questions.append((number, request))

    def returned(self, call: int, result: Result | Sent | NotSent) -> None:
        """As Receiver says."""
        self.results.append((call, result))


@pytest.fixture
def nodes() -> list[Node]:
    network = MemoryNetwork(SetClock(10))
    found = [Node(network.host()) for _ in range(3)]
    for node in found:
        node.host.open(node)
    return found


def told(data: bytes, peer: PeerId) -> Message:
    return Message("t", data, Origin.GOSSIP, Instant(0), peer)


def test_everybody_hears_a_message_once(nodes: list[Node]) -> None:
    first, second, third = nodes
    first.host.publish(1, "t", b"data")
    first.host.publish(2, "t", b"data")
    assert first.results == [(1, Sent()), (2, Sent())]
    assert second.gossip == third.gossip == [("t", b"data", first.host.peer)]
    second.host.judge(told(b"data", first.host.peer), ACCEPT)
    assert len(third.gossip) == 1
    assert not first.gossip


def test_who_comes_later_hears_it_from_those_who_accept_it(nodes: list[Node]) -> None:
    first, second, third = nodes
    third.host.close()
    first.host.publish(1, "t", b"data")
    third.host.open(third)
    second.host.judge(told(b"data", first.host.peer), ignore("reason"))
    assert not third.gossip
    second.host.judge(told(b"data", first.host.peer), ACCEPT)
    assert third.gossip == [("t", b"data", second.host.peer)]


def test_who_sends_what_is_rejected_is_to_blame(nodes: list[Node]) -> None:
    first, second, _ = nodes
    second.host.judge(told(b"data", first.host.peer), reject("false"))
    second.host.penalise(first.host.peer, "empty")
    assert second.host.penalties == {(first.host.peer, "false"): 1, (first.host.peer, "empty"): 1}


def test_a_question_is_answered_once(nodes: list[Node]) -> None:
    first, second, _ = nodes
    first.host.request(7, Request("p/1", b"question", second.host.peer, 1))
    ((number, asked),) = second.questions
    assert asked == PeerRequest("p/1", b"question", first.host.peer)
    second.host.reply(number, b"answer")
    second.host.reply(number, b"another")
    assert first.results == [(7, b"answer")]


def test_who_leaves_answers_nobody_and_waits_for_nobody(nodes: list[Node]) -> None:
    first, second, third = nodes
    first.host.request(1, Request("p/1", b"", second.host.peer, 1))
    second.host.request(2, Request("p/1", b"", third.host.peer, 1))
    second.host.close()
    assert first.results == [(1, Failed("no_peers", "The peer has left."))]
    third.host.reply(third.questions[0][0], b"answer")
    assert not [one for one in second.results if one[1] == b"answer"]
    first.host.request(3, Request("p/1", b"", second.host.peer, 1))
    assert first.results[-1] == (3, Failed("no_peers", "The peer is not connected."))
    second.host.publish(4, "t", b"data")
    assert not third.gossip
    assert first.host.peers() == [third.host.peer]


def test_contacts_say_who_came_later(nodes: list[Node]) -> None:
    first, second, _ = nodes
    assert [one.peer for one in first.host.contacts()] == first.host.peers()
    assert [one.text for one in second.host.contacts()] == [first.host.id, nodes[2].host.id]
