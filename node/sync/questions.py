"""Questions to peers, all at once: what each answered, read and counted. Protocol 09a, sections 4.1 and 4.5."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from node.contract.demands import Request
from node.contract.effects import Penalise
from node.contract.messages import PeerId
from node.fetch.peers import PeerScores
from node.sync.procedures import Answers, Procedure, Turn
from protocol.codec.declare import CodecError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What peers are asked, and how the answer is read."""

    protocol: str
    data: bytes
    read: Callable[[bytes], T]
    """Raises CodecError."""
    timeout: int
    """Nanoseconds."""


class Peers:
    """The peers of one node, asked by procedures."""

    def __init__(self, scores: PeerScores) -> None:
        self.scores = scores

    def ask(self, turn: Turn, question: Question[T], peers: Sequence[PeerId]) -> Procedure[list[tuple[PeerId, T]]]:
        """What those peers said who answered, in their order. A peer that answers something else is blamed."""
        demands = [Request(question.protocol, question.data, peer, question.timeout) for peer in peers]
        came = yield Answers(demands, len(demands))
        found = []
        for peer, one in zip(peers, came, strict=True):
            if not isinstance(one.result, bytes):
                self.scores.failed(peer, one.took)
                continue
            try:
                found.append((peer, question.read(one.result)))
            except CodecError:
                self.scores.failed(peer, one.took)
                turn.effects.append(Penalise(peer, "malformed_answer"))
                continue
            self.scores.answered(peer, len(one.result), one.took)
        return found
