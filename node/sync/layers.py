"""The ballots of a layer, as far as some peers know them. Protocol 09a, section 5.4.

| of a layer | then |
|---|---|
| no peer can be asked, or none has answered | failed: tried again in the next run |
| peers name no ballots | done |
| all that were named are here, are bad, or nobody has them | done; who named what nobody has is blamed |
| some did not come | tried again; after so many runs it is passed over |

What a ballot depends on is asked for by whoever judges it. Blocks are not got here: those that count are missed when
votes are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from node.contract.demands import Fetch
from node.contract.effects import Emit, Penalise
from node.contract.messages import PeerId
from node.fetch.protocols import LAYER_BALLOTS, layer_request, read_layer
from node.mesh.tables import BALLOTS
from node.sync.objects import Outcome, outcome_of
from node.sync.parameters import SyncParameters
from node.sync.procedures import Answers, Procedure, Turn
from node.sync.questions import Peers, Question
from protocol.types.fetch import Hint
from protocol.types.ids import BallotId, LayerId, as_hash32


class LayerOutcome(Enum):
    """What came of a layer."""

    DONE = "done"
    NO_PEERS = "no_peers"
    NO_ANSWER = "no_answer"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class LayerIncomplete:
    """An event: a layer was passed over though ballots are missing."""

    layer: LayerId
    missing: int


class LayerSync:
    """Of one node."""

    def __init__(self, parameters: SyncParameters, peers: Peers) -> None:
        self._parameters = parameters
        self._peers = peers
        self._tried: tuple[LayerId, int] = LayerId(0), 0
        """The layer that was incomplete last, and how often."""

    def sync(self, turn: Turn, layer: LayerId) -> Procedure[LayerOutcome]:
        """Get the ballots of a layer from several peers."""
        peers = self._peers.scores.best_shuffled(self._parameters.peers)
        if not peers:
            return LayerOutcome.NO_PEERS
        outcome, missing = yield from self.sync_from(turn, layer, peers)
        if outcome is not LayerOutcome.INCOMPLETE:
            return outcome
        tried = 1 + (self._tried[1] if self._tried[0] == layer else 0)
        self._tried = layer, tried
        if tried < self._parameters.layer_tries:
            return outcome
        turn.effects.append(Emit(LayerIncomplete(layer, missing)))
        return LayerOutcome.DONE

    def sync_from(self, turn: Turn, layer: LayerId, peers: Sequence[PeerId]) -> Procedure[tuple[LayerOutcome, int]]:
        """Get the ballots of a layer that these peers have; how many did not come."""
        question = Question(LAYER_BALLOTS, layer_request(layer), read_layer, self._parameters.timeout)
        answers = yield from self._peers.ask(turn, question, peers)
        named: dict[BallotId, list[PeerId]] = {}
        for peer, ids in answers:
            for id in dict.fromkeys(ids):
                named.setdefault(id, []).append(peer)
        if not named:
            return (LayerOutcome.DONE if len(answers) == len(peers) else LayerOutcome.NO_ANSWER), 0
        wanted = {id: tuple(who) for id, who in named.items() if not turn.rows.has(BALLOTS, id)}
        demands = [Fetch(Hint.BALLOT, as_hash32(id), who) for id, who in wanted.items()]
        came = yield Answers(demands, self._parameters.objects_at_once)
        missing = 0
        to_blame: dict[PeerId, None] = {}
        for (id, who), one in zip(wanted.items(), came, strict=True):
            match outcome_of(one.result):
                case Outcome.UNKNOWN:
                    to_blame.update(dict.fromkeys(who))
                case Outcome.LATER:
                    missing += not turn.rows.has(BALLOTS, id)
                case Outcome.HERE | Outcome.REFUSED:
                    pass
        turn.effects += [Penalise(peer, "unknown_ids") for peer in to_blame]
        return (LayerOutcome.INCOMPLETE if missing else LayerOutcome.DONE), missing
