"""One object that is wanted: who waits for it, who was asked, what came. Protocol 09a, section 4.4."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from node.contract.demands import Fetch
from node.contract.messages import PeerId
from node.contract.verdicts import Verdict
from node.fetch.blobs import ON_THE_WIRE
from node.fetch.parameters import FetchParameters
from node.fetch.peers import PeerScores
from protocol.types.fetch import RequestMessage
from protocol.types.ids import Hash32

Key = tuple[str, bytes]
"""Hint and id."""


@dataclass(slots=True)
class Wanted:
    """Mutable."""

    hint: str
    id: bytes
    calls: list[int]
    """Numbers of the demands, each of which is replied to."""
    named: tuple[PeerId, ...]
    """Who is likely to have it."""
    asked: set[PeerId] = field(default_factory=set)
    """In this round."""
    liars: set[PeerId] = field(default_factory=set)
    """Who sent something else, or something bad; never asked for it again."""
    bad: int = 0
    """Objects that came and were rejected, though they had its id."""
    tries: int = 0
    round: int = 1
    denied: set[PeerId] = field(default_factory=set)
    """Who has said that he has it not."""
    verdict: Verdict | None = None
    """On the last one that was rejected."""

    @classmethod
    def of(cls, call: int, demand: Fetch) -> Wanted:
        """An object that nobody was asked for yet."""
        return cls(demand.hint, demand.id, [call], demand.peers)

    @property
    def key(self) -> Key:
        """What names it here."""
        return self.hint, self.id

    @property
    def request(self) -> RequestMessage:
        """What names it to peers."""
        return RequestMessage(ON_THE_WIRE.get(self.hint, self.hint), Hash32(self.id))

    def join(self, call: int, peers: Sequence[PeerId]) -> None:
        """Another demand for it."""
        self.calls.append(call)
        self.named = tuple(dict.fromkeys((*self.named, *peers)))

    def choose(
        self, scores: PeerScores, connected: Collection[PeerId], busy: Collection[PeerId], best_peers: int
    ) -> PeerId | None:
        """Whom to ask next: the best of those who named it, else any of the best; None: all of those are busy."""
        without = {*self.asked, *self.liars, *busy}
        named = [peer for peer in self.named if peer in connected and peer not in without]
        return scores.best_of(named) or scores.any_of(scores.best(best_peers, without))

    def has_someone(self, connected: Collection[PeerId]) -> bool:
        """Whether a peer can be asked that was not asked in this round."""
        return any(peer not in self.asked and peer not in self.liars for peer in connected)

    def is_hopeless(self, parameters: FetchParameters, connected: Collection[PeerId]) -> bool:
        """Whether no other peer is to be asked, however many there are."""
        if self.tries >= parameters.max_tries:
            return True
        if self.bad >= parameters.max_bad_answers:
            # unless somebody says that he has it: others may have agreed to send bad ones
            return not any(
                peer in connected and peer not in self.asked and peer not in self.liars for peer in self.named
            )
        # who named it has it not: nobody is bothered with what somebody has made up
        is_made_up = bool(self.named) and self.denied.issuperset(self.named)
        return is_made_up and len(self.denied) >= len(self.named) + parameters.others_after_denial

    def begin_round(self, connected: Collection[PeerId], rounds: int) -> bool:
        """Whether those who had nothing are to be asked once more."""
        if self.round >= rounds or all(peer in self.liars for peer in connected):
            return False
        self.round += 1
        self.asked.clear()
        return True
