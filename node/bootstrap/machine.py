"""The machine of the fallback: asks for the documents of the epochs around the current one, and takes what they say.

| of an epoch | then |
|---|---|
| no document, or one that is refused | it is asked for again after the interval |
| a beacon | it is the epoch's, whatever was agreed on before |
| an active set | it is the epoch's, unless there is one: the first stays |
| both are here | nothing more is asked for |

Protocol 04b, section 1.8, and 03b-config-and-genesis, section 6.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.beacon.machine import BEACONS
from node.contract.demands import BootstrapDocument
from node.contract.effects import Ask, Effect, Emit, SetTimer
from node.contract.inputs import Answer, Timer
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.steps import NOTHING, Step
from node.store.view import Rows, View
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import Beacon, EpochId

from .document import Document, read, required_epochs
from .errors import DocumentRefused
from .parameters import BootstrapParameters
from .tables import put_fallback


@dataclass(frozen=True, slots=True)
class FallbackTaken:
    """An event: something of a document was taken."""

    epoch: EpochId
    beacon: Beacon | None
    """None: that of before stays."""
    has_active_set: bool
    """Whether an active set was taken."""


@dataclass(frozen=True, slots=True)
class FallbackRefused:
    """An event: a document that came is none. reason: of the DocumentRefused; epoch: it is of another epoch."""

    epoch: EpochId
    reason: str
    detail: str


@dataclass(slots=True)
class _Known:
    """What the documents of an epoch have said since the start. Mutable."""

    has_beacon: bool = False
    has_active_set: bool = False

    @property
    def is_complete(self) -> bool:
        return self.has_beacon and self.has_active_set


class BootstrapMachine(Machine):
    """The fallback of one network."""

    name = "bootstrap"

    def __init__(self, parameters: BootstrapParameters, time: NetworkTime) -> None:
        self._parameters = parameters
        self._time = time
        self._known: dict[EpochId, _Known] = {}
        self._asked: set[EpochId] = set()

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says. What was taken before is in rows; the documents are asked for once more."""
        return Step(effects=[SetTimer("ask", now)])

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        """As Machine says."""
        required = required_epochs(self._time, self._time.epoch_of(self._time.layer_at(now)))
        self._known = {epoch: self._known.get(epoch, _Known()) for epoch in required}
        due = [epoch for epoch in required if not self._known[epoch].is_complete and epoch not in self._asked]
        self._asked.update(due)
        asks: list[Effect] = [Ask(BootstrapDocument(epoch), epoch) for epoch in due]
        return Step(effects=[*asks, SetTimer("ask", after(now, self._parameters.interval))])

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        """As Machine says."""
        assert isinstance(answer.asked, BootstrapDocument), "this machine asks for nothing else"
        epoch = answer.asked.epoch
        self._asked.discard(epoch)
        if not isinstance(answer.result, bytes):
            return NOTHING  # it is asked for again
        try:
            document = read(answer.result, self._parameters.version)
            if document.epoch != epoch:
                raise DocumentRefused(f"The document is of epoch {document.epoch}, asked for was {epoch}.", "epoch")
        except DocumentRefused as error:
            return Step(effects=[Emit(FallbackRefused(epoch, error.reason, str(error)))])
        return self._take(document, view)

    def _take(self, document: Document, view: View) -> Step:
        rows, epoch = Rows(view), document.epoch
        known = self._known.setdefault(epoch, _Known())
        taken_beacon = None if rows.get(BEACONS, epoch) == document.beacon else document.beacon
        if taken_beacon is not None:
            rows.put(BEACONS, epoch, taken_beacon)
        has_taken_set = bool(document.active_set) and put_fallback(rows, epoch, document.active_set)
        known.has_beacon |= document.beacon is not None
        known.has_active_set |= bool(document.active_set)
        if taken_beacon is None and not has_taken_set:
            return NOTHING
        return Step(rows, [Emit(FallbackTaken(epoch, taken_beacon, has_taken_set))])
