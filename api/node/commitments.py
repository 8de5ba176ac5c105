"""To which activation new labels are bound: asked of the smeshing machine for whoever is about to make them.

A question stays open until it is answered, also when the node begins anew meanwhile. Specified in protocol
04-activation-beacon-eligibility, section 3.3.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

from node.contract.demands import ChooseCommitment
from node.contract.effects import Ask, Effect, SetTimer
from node.contract.inputs import Answer, Timer
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.steps import NOTHING, Step
from node.store.view import View
from protocol.numbers.durations import SECOND
from protocol.types.ids import AtxId, NodeId

LOOKS_EVERY = SECOND
"""Somebody may ask at any time, and no input of the engine says so."""


class Commitments:
    """The questions that are open. `choose` may be called in any loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[NodeId, list[Future[AtxId]]] = {}

    async def choose(self, identity: NodeId) -> AtxId:
        """The commitment; takes until the node knows all activations of the past."""
        answer: Future[AtxId] = Future()
        with self._lock:
            self._open.setdefault(identity, []).append(answer)
        return await asyncio.wrap_future(answer)

    def wanted(self) -> list[NodeId]:
        """For whom somebody waits."""
        with self._lock:
            for identity, answers in list(self._open.items()):
                self._open[identity] = [one for one in answers if not one.cancelled()]
            return [identity for identity, answers in self._open.items() if answers]

    def answered(self, identity: NodeId, commitment: AtxId) -> None:
        """It is this one."""
        with self._lock:
            answers = self._open.pop(identity, [])
        for one in answers:
            if one.set_running_or_notify_cancel():
                one.set_result(commitment)

    def machine(self) -> Machine:
        """The machine of one life of a node, which asks."""
        return CommitmentMachine(self)


class CommitmentMachine(Machine):
    """Asks what somebody wants to know."""

    name = "commitment"

    def __init__(self, commitments: Commitments) -> None:
        self._commitments = commitments
        self._asked: set[NodeId] = set()

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says."""
        return Step(effects=[SetTimer("look", now)])

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        """As Machine says."""
        new = [identity for identity in self._commitments.wanted() if identity not in self._asked]
        self._asked.update(new)
        asks: list[Effect] = [Ask(ChooseCommitment(identity), identity) for identity in new]
        return Step(effects=[*asks, SetTimer("look", after(now, LOOKS_EVERY))])

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        """As Machine says. What failed is asked again."""
        assert isinstance(answer.asked, ChooseCommitment), "this machine asks for nothing else"
        self._asked.discard(answer.asked.identity)
        if isinstance(answer.result, bytes):
            self._commitments.answered(answer.asked.identity, AtxId(answer.result))
        return NOTHING
