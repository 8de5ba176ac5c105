"""The machine that catches up, again and again, and knows whether the node is synced.

| procedure | runs | does |
|---|---|---|
| `run` | every interval | activations of past epochs, then ballots of the layers before the current one |
| `process` | every interval | certificates, opinions, votes and state of the layers that were synced |
| `atxs` | beside them | activations of the epoch that runs, or at its beginning of the one before |
| `malfeasance` | from when the activations are here | proofs that peers have and we have not |

All of them go on where they stopped when the node starts again: what is here is not asked for a second time. Protocol
09a, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.contract.effects import Emit
from node.contract.inputs import Answer, Timer
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.ports import Random
from node.contract.steps import Step
from node.fetch.peers import PeerScores
from node.store.keys import ONLY
from node.store.view import Rows, View
from node.sync.atxs import AtxSync, EpochProgress
from node.sync.fork import ForkFinder
from node.sync.layers import LayerOutcome, LayerSync
from node.sync.malfeasance import MalfeasanceSync
from node.sync.opinions import OpinionSync, Tortoise
from node.sync.parameters import SyncParameters
from node.sync.procedures import Pause, Procedure, Procedures, Turn
from node.sync.processing import Mesh, Patrol, Processing
from node.sync.questions import Peers
from node.sync.states import SyncState, SyncStateChanged, SyncStatus
from node.sync.tables import LAST_LAYER, last_layer
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import EpochId, LayerId

RUN, PROCESS, ATXS_OF_EPOCH, MALFEASANCE = "run", "process", "atxs", "malfeasance"
NO_PEERS = "no_peers"


@dataclass(frozen=True, slots=True)
class AtxsSynced:
    """An event: the activations of the past are here; gossip brings new ones from now on."""

    epoch: EpochId


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the node is, for interfaces."""

    state: SyncState
    is_atx_synced: bool
    last: LayerId
    """The last layer that was synced."""
    stopped_by: str
    """What the last run failed on: no_peers, no_answer, incomplete; empty where it succeeded or still goes on."""
    epoch: EpochProgress | None = None
    """The epoch whose activations are being got."""


class SyncMachine(Machine):
    """Of one node."""

    name = "sync"

    def __init__(
        self,
        parameters: SyncParameters,
        time: NetworkTime,
        scores: PeerScores,
        random: Random,
        mesh: Mesh,
        tortoise: Tortoise,
        patrol: Patrol,
    ) -> None:
        """mesh: started by the machine of blocks, which comes before this one."""
        self._parameters = parameters
        self._time = time
        self._scores = scores
        self.status = SyncStatus(parameters, time)
        peers = Peers(scores)
        self._atxs = AtxSync(parameters, peers, random)
        self._malfeasance = MalfeasanceSync(parameters, peers)
        self._layers = LayerSync(parameters, peers)
        self.forks = ForkFinder(parameters, peers, time.effective_genesis)
        opinions = OpinionSync(parameters, time, peers, self._layers, self.forks, tortoise, mesh)
        self._processing = Processing(parameters, time, self.status, mesh, patrol, opinions, self.forks)
        self._procedures = Procedures()
        self._next_epoch = self._first_epoch()
        self._background: EpochId | None = None
        """The epoch whose activations are got beside the runs, or were."""
        self._last = time.effective_genesis
        self._is_processing = False
        self._stopped_by = ""

    @property
    def progress(self) -> Progress:
        """How far the node is."""
        status = self.status
        return Progress(status.state, status.is_atx_synced, self._last, self._stopped_by, self._atxs.progress)

    @property
    def open_demands(self) -> int:
        """What was asked for and not answered."""
        return self._procedures.open

    # ---- inputs ----

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says."""
        turn = Turn(Rows(view), now, [])
        self._last = last_layer(view, self._time.effective_genesis)
        current = self._time.layer_at(now)
        if current <= self._time.effective_genesis:
            self._tell(turn, self.status.before_run(current, self._last, now))
        self._procedures.begin(RUN, self._runs, turn)
        self._procedures.begin(PROCESS, self._processes, turn)
        return Step(turn.rows, turn.effects)

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        """As Machine says."""
        return self._procedures.answer(answer, view, now)

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        """As Machine says."""
        return self._procedures.timer(timer, view, now)

    # ---- runs ----

    def _runs(self, turn: Turn) -> Procedure[None]:
        while True:
            yield Pause(after(turn.now, self._parameters.interval))
            current = self._time.layer_at(turn.now)
            self._tell(turn, self.status.before_run(current, self._last, turn.now))
            if current == 0:
                continue
            self._stopped_by = ""
            self._stopped_by = yield from self._run(turn)
            if not (self._stopped_by or self.status.is_synced):
                yield from self._processed(turn)
            current = self._time.layer_at(turn.now)
            changed = self.status.after_run(
                current,
                self._last,
                turn.now,
                has_succeeded=not self._stopped_by,
                is_state_synced=self._processing.is_state_synced(current),
            )
            self._tell(turn, changed)

    def _processed(self, turn: Turn) -> Procedure[None]:
        """What a run got is processed before the run is judged.

        The state of a node whose layers are hardly longer than the interval would else be found behind once a layer,
        whenever a run ended before the processing that followed it: such a node would listen and never be synced.
        """
        if not self._is_processing:
            self._procedures.stop(PROCESS, turn)
            self._procedures.begin(PROCESS, lambda own: self._processes(own, is_due=True), turn)
        until = after(turn.now, self._parameters.interval)
        while self._is_processing and turn.now < until:
            yield Pause(after(turn.now, self._parameters.interval // 20))

    def _processes(self, turn: Turn, *, is_due: bool = False) -> Procedure[None]:
        while True:
            if not is_due:
                yield Pause(after(turn.now, self._parameters.interval))
            is_due = False
            self._is_processing = True
            yield from self._processing.run(turn)
            self._is_processing = False

    def _run(self, turn: Turn) -> Procedure[str]:
        """What it failed on; empty where it succeeded."""
        if self._parameters.is_standalone:
            self._synced(turn, LayerId(self._time.layer_at(turn.now) - 1))
            self._atxs_are_here(turn)
            return ""
        if not self._scores.connected():
            return NO_PEERS
        if not (yield from self._past_atxs(turn)):
            return NO_PEERS
        self._go_on_beside(turn)
        layer = LayerId(max(self._last, self._time.effective_genesis) + 1)
        while layer < self._time.layer_at(turn.now):
            outcome = yield from self._layers.sync(turn, layer)
            if outcome is not LayerOutcome.DONE:
                return str(outcome.value)
            self._synced(turn, layer)
            layer = LayerId(layer + 1)
        return ""

    def _past_atxs(self, turn: Turn) -> Procedure[bool]:
        """The activations of all epochs before the current one, and once those of that one; False where no peer is
        connected.

        Own activations of an earlier life may be among the last ones, of which restored stores know nothing: they are
        here before anything is signed.
        """
        if self.status.is_atx_synced:
            return True
        while self._next_epoch < self._epoch_at(turn.now):
            epoch = self._next_epoch
            until = self._begin_of(EpochId(epoch + 1))
            if not (yield from self._atxs.download(turn, epoch, until)):
                return False
            self._next_epoch = EpochId(epoch + 1)
        epoch = self._epoch_at(turn.now)
        if not (yield from self._atxs.download(turn, epoch, turn.now)):
            return False
        begin, end = self._begin_of(epoch), self._begin_of(EpochId(epoch + 1))
        if self._malfeasance.is_due(turn.rows, turn.now, begin, end):
            yield from self._malfeasance.first(turn)
        self._atxs_are_here(turn)
        return True

    def _go_on_beside(self, turn: Turn) -> None:
        """The activations that are published now, and proofs of malfeasance."""
        current = self._time.layer_at(turn.now)
        epoch = self._time.epoch_of(current)
        if epoch == 0:
            return
        passed = self._time.ordinal_in_epoch(current)
        if passed <= self._time.layers_per_epoch * self._parameters.epoch_end_fraction:
            epoch = EpochId(epoch - 1)
        if self._background != epoch and epoch > 0:
            self._procedures.stop(ATXS_OF_EPOCH, turn)
            self._background = epoch
            self._procedures.begin(ATXS_OF_EPOCH, lambda own: self._atxs_beside(own, epoch), turn)
        if not self._procedures.is_running(MALFEASANCE):
            self._procedures.begin(MALFEASANCE, self._malfeasance.loop, turn)

    def _atxs_beside(self, turn: Turn, epoch: EpochId) -> Procedure[None]:
        is_done = yield from self._atxs.download(turn, epoch, self._begin_of(EpochId(epoch + 2)))
        if not is_done:
            self._background = None  # begun anew in the next run

    # ---- what they come to ----

    def _synced(self, turn: Turn, layer: LayerId) -> None:
        self._last = LayerId(max(self._last, layer))
        turn.rows.put(LAST_LAYER, ONLY, self._last)

    def _atxs_are_here(self, turn: Turn) -> None:
        if not self.status.is_atx_synced:
            self.status.is_atx_synced = True
            turn.effects.append(Emit(AtxsSynced(self._epoch_at(turn.now))))

    def _tell(self, turn: Turn, changed: SyncStateChanged | None) -> None:
        if changed is not None:
            turn.effects.append(Emit(changed))

    def _first_epoch(self) -> EpochId:
        return self._time.epoch_of(self._time.effective_genesis)

    def _epoch_at(self, now: Instant) -> EpochId:
        return self._time.epoch_of(self._time.layer_at(now))

    def _begin_of(self, epoch: EpochId) -> Instant:
        return Instant(self._time.start_ns(self._time.first_layer(epoch)))
