"""A network in memory and in virtual time: engines that ask each other, and puppets that answer as a test wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import TypeVar

from node.contract.checks import NetworkChecker
from node.contract.demands import (
    Failed,
    PeerRequest,
    PostVerdict,
    Request,
    Result,
    VerifyPoet,
    VerifyPost,
    VerifyVrfNonce,
)
from node.contract.effects import Penalise
from node.contract.inputs import Sent, Tick
from node.contract.instants import Instant
from node.contract.machine import Derived, Machine
from node.contract.messages import PeerId
from node.engine.edges import Call, Incoming, Input, Outgoing, Output, Returned, Send
from node.engine.engine import Engine
from node.store.stores import Stores
from protocol.numbers.durations import MILLISECOND
from tests.node.contract.world import GENESIS, GENESIS_ID

T = TypeVar("T")

LATENCY = 20 * MILLISECOND
Answers = Callable[[str, bytes], "Result | None"]
"""By protocol and request; None: silence."""


class Network:
    """Everybody is connected to everybody who is up."""

    def __init__(self, now: Instant = GENESIS) -> None:
        self.statements: dict[bytes, bytes] = {}
        """Of proofs of time, by reference, which does not cover them; proofs of others hold as they are."""
        self.now = now
        self.hosts: dict[PeerId, Host | Puppet] = {}
        self.starts = 0
        """Nodes that were begun: a seed for each of them."""
        self.requests: list[tuple[PeerId, Request]] = []
        """Who asked what, in the order in which it was asked."""
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: int, action: Callable[[], None]) -> None:
        """Do something later."""
        self._count += 1
        heappush(self._events, (when, self._count, action))

    def run(self, until: int) -> None:
        """Everything that happens up to an instant."""
        while self._events and self._events[0][0] <= until:
            when, _, action = heappop(self._events)
            self.now = Instant(max(self.now, when))
            action()
        self.now = Instant(until)

    def run_for(self, duration: int) -> None:
        """Everything that happens in a while."""
        self.run(self.now + duration)

    def peers(self, of: PeerId) -> list[PeerId]:
        """Who is connected to one."""
        return [name for name, host in self.hosts.items() if name != of and host.is_up]

    def request(self, source: PeerId, request: Request, answered: Callable[[Result], None]) -> None:
        """Ask; the answer, or that its time is over, is told once."""
        self.requests.append((source, request))
        is_open = True

        def settle(result: Result) -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                answered(result)

        self.at(self.now + request.timeout, lambda: settle(Failed("timeout")))
        host = self.hosts.get(request.peer)
        if host is None or not host.is_up:
            self.at(self.now + LATENCY, lambda: settle(Failed("not_connected")))
            return
        question = PeerRequest(request.protocol, request.data, source)
        reply = lambda result: self.at(self.now + LATENCY, lambda: settle(result))  # noqa: E731
        self.at(self.now + LATENCY, lambda: host.ask(question, reply) if host.is_up else None)


class Puppet:
    """A peer that answers by a function."""

    def __init__(self, network: Network, name: PeerId, answers: Answers) -> None:
        self.name = name
        self.answers = answers
        self.is_up = True
        self.asked: list[PeerRequest] = []
        network.hosts[name] = self

    def ask(self, question: PeerRequest, reply: Callable[[Result], None]) -> None:
        """A question came."""
        self.asked.append(question)
        answer = self.answers(question.protocol, question.data)
        if answer is not None:
            reply(answer)


class Host:
    """A peer with an engine."""

    def __init__(
        self,
        network: Network,
        name: PeerId,
        stores: Stores,
        machines: Sequence[Machine],
        derived: Sequence[Derived] = (),
    ) -> None:
        self.network = network
        self.name = name
        self.is_up = True
        self.stores = stores
        self.engine = Engine(machines, stores, NetworkChecker(GENESIS_ID), derived=derived)
        self.log: list[Output] = []
        self._replies: dict[int, Callable[[Result], None]] = {}
        self._asked = 0
        network.hosts[name] = self
        self._out(self.engine.start(network.now))

    def stop(self) -> None:
        """The process is killed: what was written is there."""
        self.is_up = False

    def turn(self, *inputs: Input) -> None:
        """One turn now."""
        if self.is_up:
            self._out(self.engine.turn(inputs, self.network.now))

    def tick(self, tick: Tick) -> None:
        """A layer begins."""
        self.turn(tick)

    def ask(self, question: PeerRequest, reply: Callable[[Result], None]) -> None:
        """A question of a peer came."""
        self._asked += 1
        self._replies[self._asked] = reply
        self.turn(Incoming(self._asked, question, self.network.now))

    def of(self, kind: type[T]) -> list[T]:
        """What has left of one kind."""
        return [one for one in self.log if isinstance(one, kind)]

    def blamed(self) -> list[tuple[PeerId, str]]:
        """Who was blamed, and why."""
        return [(one.peer, one.reason) for one in self.of(Penalise)]

    def _out(self, outputs: Sequence[Output]) -> None:
        for one in outputs:
            self.log.append(one)
            match one:
                case Call(call, Request() as request):
                    self.network.request(self.name, request, lambda result, call=call: self._returned(call, result))
                case Call(call, VerifyPoet(proof)):
                    true = self.network.statements.get(proof.ref(), proof.statement)
                    self._later(call, proof.statement == true)
                case Call(call, VerifyVrfNonce()):
                    self._later(call, True)
                case Call(call, VerifyPost()):
                    self._later(call, PostVerdict(True))
                case Call(call, demand):
                    raise AssertionError(f"nobody serves {demand}")
                case Send(call):
                    self._later(call, Sent())
                case Outgoing(number, result):
                    self._replies.pop(number)(result)
        due = self.engine.next_due()
        if due is not None:
            self.network.at(due, self._wake)

    def _later(self, call: int, result: Result | Sent) -> None:
        self.network.at(self.network.now + MILLISECOND, lambda: self._returned(call, result))

    def _returned(self, call: int, result: Result | Sent) -> None:
        self.turn(Returned(call, result, self.network.now))

    def _wake(self) -> None:
        due = self.engine.next_due()
        if self.is_up and due is not None and due <= self.network.now:
            self.turn()
