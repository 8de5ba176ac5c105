"""The machine that answers peers: what they ask for, within limits, from what is stored.

| state of a request | then |
|---|---|
| too long, or the queue is full | closed without an answer |
| waits | until the rate of its protocol allows it |
| waits for a list | read a piece a step |
| answered | |

Protocol 09a, sections 3.2 and 4.1 to 4.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from node.contract.demands import Failed, PeerRequest, Result
from node.contract.effects import Effect, Penalise, Reply, SetTimer
from node.contract.inputs import Asked, Timer
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.messages import PeerId
from node.contract.steps import Step
from node.fetch.answers import UNREADABLE_ANSWERED, Answers, NotAllowed, RequestRefused
from node.fetch.blobs import Sources
from node.fetch.limits import Gate, Waiting
from node.fetch.lists import IdLists, ListKey
from node.fetch.parameters import ServerParameters
from node.fetch.protocols import EPOCH_ATXS, MALICIOUS_IDS, PROTOCOLS
from node.p2p.frames import BUSY, NO_ANSWER, REFUSED, TOO_LARGE
from node.store.view import View
from protocol.codec.declare import CodecError, c32
from protocol.types.ids import EpochId

_READ = "read"
"""The timer of lists that are being read; those of queues are named by their protocols."""


class FetchServer(Machine):
    """The answers of one node."""

    name = "fetch_server"
    protocols: ClassVar[Sequence[str]] = PROTOCOLS

    def __init__(self, parameters: ServerParameters, sources: Sources) -> None:
        """sources: of all kinds that are served, by hint."""
        self._parameters = parameters
        self._answers = Answers(parameters, sources)
        self._gates = {name: Gate(parameters.limits[name], parameters.share_of_peer) for name in PROTOCOLS}
        self._lists = IdLists(parameters)
        self._readers: list[tuple[Waiting, str, ListKey]] = []
        """Requests that wait for a list; bounded by the queues."""
        self.counts: Counter[tuple[str, str]] = Counter()
        """Requests by protocol and what became of them: `answered`, or the reason of the failure."""

    @property
    def waiting(self) -> int:
        """Requests that have not been answered."""
        return sum(len(gate) for gate in self._gates.values())

    def serve(self, asked: Asked, view: View, now: Instant) -> Step:
        """As Machine says."""
        request = asked.demand
        assert isinstance(request, PeerRequest), "it serves no other demand"
        if len(request.data) > self._parameters.max_request_bytes:
            blame = Penalise(request.peer, TOO_LARGE)
            self.counts[request.protocol, TOO_LARGE] += 1
            return Step(effects=[Reply(asked.id, Failed(TOO_LARGE)), blame])
        gate = self._gates[request.protocol]
        if not gate.has_room(request.peer):
            self.counts[request.protocol, BUSY] += 1
            return Step(effects=[Reply(asked.id, Failed(BUSY))])
        gate.enter(Waiting(asked, request.data, request.peer))
        return Step(effects=self._go_on(request.protocol, view, now))

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        """As Machine says: a queue may go on, or a list be read on."""
        if timer.key != _READ:
            return Step(effects=self._go_on(str(timer.key), view, now))
        self._lists.read(view, now)
        effects: list[Effect] = []
        waiting, self._readers = self._readers, []
        for request, protocol, key in waiting:
            self._answer_list(request, protocol, key, effects, now)
        return Step(effects=effects + self._reading(now))

    def _go_on(self, protocol: str, view: View, now: Instant) -> list[Effect]:
        gate = self._gates[protocol]
        effects: list[Effect] = []
        while (request := gate.next(now)) is not None:
            if protocol in (EPOCH_ATXS, MALICIOUS_IDS):
                self._begin_list(request, protocol, effects, now)
            else:
                self._done(
                    request.asked.id, protocol, request.peer, self._answer(protocol, view, request.data), effects
                )
        if gate.due is not None:
            effects.append(SetTimer(protocol, gate.due))
        return effects + self._reading(now)

    def _answer(self, protocol: str, view: View, data: bytes) -> Result:
        try:
            return self._answers.by_protocol[protocol](view, data)
        except RequestRefused as error:
            return Failed(REFUSED, str(error))
        except (CodecError, NotAllowed) as error:
            return self._unreadable(protocol, str(error))

    def _unreadable(self, protocol: str, sentence: str) -> Failed:
        is_answered = protocol in UNREADABLE_ANSWERED or not self._parameters.is_streaming
        return Failed(REFUSED if is_answered else NO_ANSWER, sentence)

    def _begin_list(self, request: Waiting, protocol: str, effects: list[Effect], now: Instant) -> None:
        key: ListKey = None
        if protocol == EPOCH_ATXS:
            try:
                key = EpochId(c32.decode(request.data))
            except CodecError as error:
                refused = self._unreadable(protocol, str(error))
                self._done(request.asked.id, protocol, request.peer, refused, effects)
                return
        self._answer_list(request, protocol, key, effects, now)

    def _answer_list(self, request: Waiting, protocol: str, key: ListKey, effects: list[Effect], now: Instant) -> None:
        answer = self._lists.ask(key, now)
        if answer is None:
            self._readers.append((request, protocol, key))
        else:
            self._done(request.asked.id, protocol, request.peer, answer, effects)

    def _reading(self, now: Instant) -> list[Effect]:
        return [SetTimer(_READ, after(now, self._parameters.list_pause))] if self._lists.is_reading else []

    def _done(self, id: int, protocol: str, peer: PeerId, result: Result, effects: list[Effect]) -> None:
        self._gates[protocol].leave(peer)
        self.counts[protocol, result.reason if isinstance(result, Failed) else "answered"] += 1
        effects.append(Reply(id, result))
