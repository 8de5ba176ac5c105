"""The proofs of malfeasance that peers have and this node has not.

| mode | asks for lists | ends |
|---|---|---|
| first | at once, then every minute | when the proofs of so many peers are here; after a while, of one |
| afterwards | every half hour | never |

When the first one was done is stored, and it is not done again in the same part of an epoch. Protocol 09a, section 5.7.
"""

from __future__ import annotations

from node.contract.instants import Instant, after
from node.contract.messages import PeerId
from node.fetch.protocols import MALICIOUS_IDS, read_malicious
from node.malfeasance.tables import has_proof
from node.store.keys import ONLY
from node.store.view import View
from node.sync.lists import Listed, ListRules
from node.sync.parameters import SyncParameters
from node.sync.procedures import Pause, Procedure, Turn
from node.sync.questions import Peers, Question
from node.sync.tables import MALFEASANCE_SYNCED
from protocol.types.fetch import Hint
from protocol.types.ids import NodeId


class MalfeasanceSync:
    """Of one node."""

    def __init__(self, parameters: SyncParameters, peers: Peers) -> None:
        self._parameters = parameters
        self._own = own = parameters.malfeasance
        self._peers = peers
        self._rules = ListRules(
            Hint.MALFEASANCE,
            lambda view, id: has_proof(view, NodeId(id)),
            own,
            own.batch,
            parameters.ids_of_step,
            parameters.step_pause,
        )

    def is_due(self, view: View, now: Instant, epoch_begin: Instant, epoch_end: Instant) -> bool:
        """Whether the first sync is to be done: it was not in this epoch, or too long ago."""
        done = view.get(MALFEASANCE_SYNCED, ONLY)
        if done is None or done < epoch_begin:
            return True
        return now - done > (epoch_end - epoch_begin) * self._own.max_epoch_fraction

    def first(self, turn: Turn) -> Procedure[None]:
        """Get the proofs of enough peers."""
        synced: set[PeerId] = set()
        rounds = 0
        while True:
            synced.update((yield from self._round(turn)))
            rounds += 1
            if len(synced) >= self._own.min_peers:
                turn.rows.put(MALFEASANCE_SYNCED, ONLY, turn.now)
                return
            if synced and rounds >= self._own.patient_rounds:
                return  # not noted: the next start tries again
            yield Pause(after(turn.now, self._own.retry_interval))

    def loop(self, turn: Turn) -> Procedure[None]:
        """Go on with it for ever."""
        while True:
            yield Pause(after(turn.now, self._own.list_interval))
            if (yield from self._round(turn)):
                turn.rows.put(MALFEASANCE_SYNCED, ONLY, turn.now)

    def _round(self, turn: Turn) -> Procedure[list[PeerId]]:
        """The peers all of whose proofs are here now, or are not to be had."""
        peers = self._peers.scores.best_shuffled(self._own.list_peers)
        question = Question(MALICIOUS_IDS, b"", read_malicious, self._parameters.list_timeout)
        answers = yield from self._peers.ask(turn, question, peers)
        listed = Listed(self._rules)
        followed = []
        for peer, ids in answers:
            if (yield from listed.take(turn, ids, peer)):
                followed.append(peer)
        while listed.missing:  # ends, for each is asked for so many times
            yield Pause(after(turn.now, self._parameters.atxs.retry_pause))
            yield from listed.retry(turn)
        return followed
