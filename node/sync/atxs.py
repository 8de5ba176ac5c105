"""The activations of an epoch: lists of peers, then what is on them, until none is missing.

| of an epoch | until |
|---|---|
| a list is asked for | a second, then every few hours; of so many peers, one after another |
| activations are got | all are here or not to be had |
| complete | a list came after `until`, when nothing more is published in it |

Protocol 09a, section 5.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.activation.tables import ATXS
from node.contract.effects import Emit
from node.contract.instants import Instant, after
from node.contract.ports import Random
from node.fetch.protocols import EPOCH_ATXS, epoch_request, read_epoch
from node.sync.lists import Listed, ListRules
from node.sync.parameters import SyncParameters
from node.sync.procedures import Pause, Procedure, Turn
from node.sync.questions import Peers, Question
from node.sync.tables import EPOCHS, EpochDownload
from protocol.types.fetch import Hint
from protocol.types.ids import AtxId, EpochId


@dataclass(frozen=True, slots=True)
class EpochDownloaded:
    """An event: the activations published in an epoch are here."""

    epoch: EpochId
    activations: int
    left_out: int
    """On lists, and not to be had."""


@dataclass(frozen=True, slots=True)
class EpochProgress:
    """How far an epoch is."""

    epoch: EpochId
    passed: int
    """Ids of the list that is being followed, so far."""
    total: int
    """Ids of that list."""


class AtxSync:
    """Of one node."""

    def __init__(self, parameters: SyncParameters, peers: Peers, random: Random) -> None:
        self._parameters = parameters
        self._own = own = parameters.atxs
        self._peers = peers
        self._random = random
        self._current: tuple[EpochId, Listed] | None = None
        self._rules = ListRules(
            Hint.ATX,
            lambda view, id: view.has(ATXS, AtxId(id)),
            own,
            own.at_once,
            parameters.ids_of_step,
            parameters.step_pause,
        )

    @property
    def progress(self) -> EpochProgress | None:
        """How far the epoch is that was begun last; None: none was, or it is done."""
        if self._current is None:
            return None
        epoch, listed = self._current
        return EpochProgress(epoch, listed.passed, listed.length)

    def download(self, turn: Turn, epoch: EpochId, until: Instant) -> Procedure[bool]:
        """Get what was published in an epoch; a list that is asked for before `until` is not the last one.

        Returns False where no peer is connected.
        """
        known = turn.rows.get(EPOCHS, epoch)
        if known is not None and known.asked > until and known.is_complete:
            return True
        listed = Listed(self._rules)
        self._current = epoch, listed
        interval = self._own.first_interval
        last = 0
        due = self._next(turn, interval)
        while True:
            if not listed.missing and last > until:
                self._note(turn, epoch, last, listed)
                turn.effects.append(Emit(EpochDownloaded(epoch, listed.obtainable, len(listed.left_out))))
                self._current = None
                return True
            if listed.missing and (last > until or turn.now < due):
                # no more lists once the last one is here: whoever makes up ids could go on with it for ever
                yield Pause(after(turn.now, self._own.retry_pause))
                yield from listed.retry(turn)
                continue
            if turn.now < due:
                yield Pause(due)
            peers = self._peers.scores.best_shuffled(self._own.list_peers)
            if not peers:
                return False
            question = Question(EPOCH_ATXS, epoch_request(epoch), read_epoch, self._parameters.list_timeout)
            for peer in peers:  # not at once: lists are long
                for _, ids in (yield from self._peers.ask(turn, question, (peer,))):
                    asked = turn.now
                    if (yield from listed.take(turn, ids, peer)):
                        last, interval = asked, self._own.list_interval
            self._note(turn, epoch, last, listed)
            due = self._next(turn, interval)

    def _next(self, turn: Turn, interval: int) -> Instant:
        """A tenth more or less, so that not all nodes ask at once."""
        return after(turn.now, interval * 9 // 10 + self._random.below(interval // 5 + 1))

    def _note(self, turn: Turn, epoch: EpochId, asked: int, listed: Listed) -> None:
        total = listed.obtainable
        row = EpochDownload(asked, total, max(0, total - listed.missing))
        if turn.rows.get(EPOCHS, epoch) != row:
            turn.rows.put(EPOCHS, epoch, row)
