"""The driver: turns of an engine in the world, from what waits in the inbox to what leaves by the ports.

It has no thread and no loop of its own: `wakes_at` says when a turn is due, `turn` does it, in one thread always;
`loop` does so in the world, tests by a clock that they set. Everything that comes in may come from any thread.

A layer's tick comes exactly at its start. Rows of a turn are on stable storage before a client is told that its
transaction was taken: one sync for all that wait. A disk without room stops turns, not readers, and nothing that was
taken is lost by it; a node that has slept through layers begins anew on its stores, as after a restart, since nothing
may be signed late. `docs/contract.md`; protocol 09b-node-storage-libp2p, sections 1.1 and 6.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import Enum
from logging import getLogger
from typing import TYPE_CHECKING, Protocol, TypeVar

from node.contract.demands import Failed as NotMet
from node.contract.demands import PeerRequest, Result
from node.contract.effects import Emit, Penalise, StopIdentity
from node.contract.inputs import NotSent, Sent, Tick
from node.contract.instants import Instant
from node.contract.messages import Message, Origin, PeerId
from node.contract.ports import Clock
from node.contract.verdicts import Verdict, ignore
from node.engine.edges import Abandon, Call, Incoming, Input, Judge, Outgoing, Output, Outputs, Returned, Send
from node.engine.errors import EngineStopped
from node.mempool.handler import TOPIC as TRANSACTIONS
from node.store.errors import StoreFull
from node.store.stores import Stores
from node.store.view import Rows
from protocol.numbers.durations import SECOND
from protocol.types.ids import LayerId

from .asking import Question, Questions
from .calls import RELAYED, OpenCalls
from .errors import Refused
from .facts import Facts, Onlooker, facts_of
from .inbox import Inbox, Limits
from .measures import Measures
from .ports import Ports

if TYPE_CHECKING:
    from node.assembly.node import Node  # much, which whoever only reads needs not wait for

T = TypeVar("T")
log = getLogger("runtime")

SLEPT_LAYERS = 3
SLEPT = 30 * SECOND
"""A node that is later than both for a layer begins anew on its stores."""
LOOKS_FOR_ROOM = SECOND
"""How often a node without room on its disk looks whether there is some."""


class Phase(Enum):
    """What a node is doing."""

    STARTING = "starting"
    RUNNING = "running"
    NO_ROOM = "no_room"
    """The disk is full: no turns, but all that is stored can be read."""
    STOPPED = "stopped"


class Build(Protocol):
    """Makes a node that has not started, new machines on stores."""

    def __call__(self, stores: Stores | None) -> Node:
        """stores: those that are open; None: they are to be opened. Raises StoreFault."""


class Driver:
    """One node. Also a `p2p.port.Receiver`."""

    def __init__(
        self,
        build: Build,
        ports: Ports,
        clock: Clock,
        onlookers: Sequence[Onlooker] = (),
        limits: Limits | None = None,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """has_room: whether the disk has room for more than what is under way."""
        limits = limits or Limits()
        self._build = build
        self._ports = ports
        self._clock = clock
        self.onlookers = list(onlookers)
        """To be added to before it starts."""
        self._has_room = has_room
        self._urgent: frozenset[str] = frozenset()
        self.inbox = Inbox(limits, lambda topic: topic in self._urgent)
        self.questions = Questions(limits.questions)
        self.measures = Measures()
        self.wake: Callable[[], None] = lambda: None
        """Called, from any thread, when something has come in. For whoever turns."""
        self.phase = Phase.STARTING
        self.node: Node | None = None
        """Of this life, once it has started."""
        self.facts = Facts(False, False, LayerId(0), LayerId(0), LayerId(0), LayerId(0))
        self._submitted: dict[Message, Future[Verdict]] = {}
        self._calls = OpenCalls(ports, clock)
        self._next_layer = LayerId(0)
        self._looks_at = Instant(0)

    # ---- from any thread ----

    def heard(self, topic: str, data: bytes, peer: PeerId) -> None:
        """As Receiver says."""
        message = Message(topic, data, Origin.GOSSIP, self._clock.now(), peer)
        if not self._put(message):
            self._ports.host.judge(message, ignore("busy" if self.phase is Phase.RUNNING else self.phase.value))

    def asked(self, number: int, request: PeerRequest) -> None:
        """As Receiver says."""
        if not self._put(Incoming(number, request, self._clock.now())):
            self._ports.host.reply(number, NotMet("busy", "This node has too much to do."))

    def returned(self, call: int, result: Result | Sent | NotSent) -> None:
        """As Receiver says."""
        known = self._calls.back(call)
        if known is not None:
            self.inbox.put(Returned(known, result, self._clock.now()))
            self.wake()

    def ask(self, question: Question[T]) -> Future[T]:
        """What a short question comes to, between two turns. Raises Refused."""
        answer = self.questions.put(question)
        self.wake()
        return answer

    def submit(self, raw: bytes) -> Future[Verdict]:
        """A transaction of a client: its verdict, when what it wrote is on stable storage; it goes to peers then.

        Raises Refused: more than so many do not wait.
        """
        if self.phase is not Phase.RUNNING:
            raise self._refusal()
        message = Message(TRANSACTIONS, raw, Origin.OWN, self._clock.now())
        verdict: Future[Verdict] = Future()
        self._submitted[message] = verdict
        if not self._put(message):
            self._submitted.pop(message, None)
            raise Refused("busy", "Too many transactions wait for the node; send it again in a second.")
        return verdict

    def _put(self, one: Input) -> bool:
        if self.phase not in (Phase.RUNNING, Phase.STARTING) or not self.inbox.put(one):
            return False
        self.wake()
        return True

    # ---- in the thread of the turns ----

    def start(self) -> None:
        """Begin, and take part. Raises EngineStopped, StoreFault."""
        self._begin(None)
        self._ports.host.open(self)

    def wakes_at(self) -> Instant:
        """When the next turn is due; before now where something waits already."""
        if self.phase is Phase.NO_ROOM or self.node is None:
            return Instant(0) if self.questions else self._looks_at
        if self.inbox or self.questions:
            return Instant(0)
        due = Instant(self.node.parameters.time.start_ns(self._next_layer))
        others = self.node.engine.next_due(), self._calls.next_deadline()
        return min((due, *(other for other in others if other is not None)))

    def turn(self) -> None:
        """All that waits or is due, then some questions. Raises EngineStopped: the node has come to its end."""
        now = self._clock.now()
        if self.phase is Phase.NO_ROOM:
            if now >= self._looks_at:
                self._look_for_room(now)
        elif not self._has_room():
            self._rest("The disk has almost no room left: what the node has can be read, but it takes nothing new.")
        else:
            self._turn(now)
        if self.node is not None:
            self.questions.answer(self.node)

    def stop(self) -> None:
        """Take part no more, and answer nobody: whoever waits is told. The stores stay open for those who read them."""
        self.phase = Phase.STOPPED
        self._ports.host.close()
        self.questions.close()
        self._refuse_submitted()

    def close(self) -> None:
        """After `stop`: let go of the stores."""
        if self.node is not None:
            self.node.stores.close()

    # ---- lives ----

    def _begin(self, stores: Stores | None) -> None:
        """A new engine. Calls of the one before are given up."""
        self._calls.begin_life()
        for one in self.inbox.clear():
            if not isinstance(one, Returned):  # the new engine asks anew, and numbers its calls anew
                self.inbox.put(one)
        node = self._build(stores)
        now, time = self._clock.now(), node.parameters.time
        self.measures.lives += 1
        self._urgent = frozenset(() if node.hare is None else node.hare.topics)
        self._next_layer = LayerId(time.layer_at(now) + (now >= time.genesis_ns))
        try:
            node.engine.recover(now)
            outputs = self._commit(node, sync=False)
        except BaseException:
            if stores is None:
                node.stores.close()
            raise
        self.node, self.phase = node, Phase.RUNNING
        self._carry_out(outputs)

    def _turn(self, now: Instant) -> None:
        assert self.node is not None, "what runs has a node"
        inputs: list[Input] = []
        try:
            if self._has_slept(self.node, now):
                self._begin(self.node.stores)
                return
            for call in self._calls.late(now):
                self.returned(call, NotMet("timeout", "The peer has not answered in time."))
            inputs = self.inbox.take()
            sync = any(isinstance(one, Message) and one.origin is Origin.OWN for one in inputs)
            begun = time.perf_counter()
            self.node.engine.prepare([*inputs, *self._ticks(now)], now)
            outputs = self._commit(self.node, sync)
        except EngineStopped as stopped:
            if not isinstance(stopped.__cause__, StoreFull):
                raise
            self._let_go(inputs, str(stopped.__cause__))
            return
        self._measure(time.perf_counter() - begun, sync)
        self._carry_out(outputs)

    def _has_slept(self, node: Node, now: Instant) -> bool:
        time = node.parameters.time
        late = now - time.start_ns(self._next_layer)
        if late <= max(SLEPT, SLEPT_LAYERS * time.layer_duration_ns):
            return False
        log.warning(
            "layer %d is begun %.0f s late: this machine slept, or has too much to do; the node begins anew on its "
            "stores, and signs nothing for what it missed",
            self._next_layer,
            late / SECOND,
        )
        return True

    def _ticks(self, now: Instant) -> list[Tick]:
        assert self.node is not None, "what runs has a node"
        time, ticks = self.node.parameters.time, []
        while now >= time.start_ns(self._next_layer):
            due = Instant(time.start_ns(self._next_layer))
            ticks.append(Tick(self._next_layer, due))
            self.measures.late_ns = now - due
            self.measures.latest_ns = max(self.measures.latest_ns, now - due)
            self._next_layer = LayerId(self._next_layer + 1)
        return ticks

    def _commit(self, node: Node, sync: bool) -> Outputs:
        def show(rows: Rows, outputs: Outputs) -> None:
            self.facts = facts = facts_of(node)
            events = [output.event for output in outputs if isinstance(output, Emit)]
            for onlooker in self.onlookers:
                try:
                    onlooker.committed(rows, events, facts)
                except Exception:  # who looks on must not end a node that has written its rows
                    log.exception("what was committed could not be told")

        return node.engine.commit(sync, show)

    def _measure(self, seconds: float, sync: bool) -> None:
        of = self.measures
        of.turns += 1
        of.seconds += seconds
        of.longest_s = max(of.longest_s, seconds)
        of.syncs += sync

    # ---- a disk without room ----

    def _rest(self, why: str) -> None:
        """No turns until there is room. What this node asked for is kept, what others sent is not."""
        self.phase = Phase.NO_ROOM
        self._looks_at = Instant(self._clock.now() + LOOKS_FOR_ROOM)
        log.error("%s The node looks every second whether there is room again, and goes on then", why)
        for one in self.inbox.clear():
            match one:
                case Message(origin=Origin.GOSSIP):
                    self._ports.host.judge(one, ignore("no_room"))
                case Incoming(number):
                    self._ports.host.reply(number, NotMet("no_room", "The disk of this node is full."))
                case Returned():
                    self.inbox.put(one)
        self._refuse_submitted()

    def _let_go(self, inputs: Sequence[Input], why: str) -> None:
        """A turn could not be written: its engine is no more, and what it was told is told to the next one."""
        assert self.node is not None, "what runs has a node"
        kept = [one for one in inputs if isinstance(one, Message) and one.origin is Origin.GOSSIP]
        self.node.stores.close()
        self._rest(why)
        self.node = None
        for one in kept:
            self.inbox.put(one)

    def _look_for_room(self, now: Instant) -> None:
        self._looks_at = Instant(now + LOOKS_FOR_ROOM)
        if not self._has_room():
            return
        if self.node is not None:
            self.phase = Phase.RUNNING
            log.warning("the disk has room again: the node goes on")
            return
        try:
            self._begin(None)
        except StoreFull:
            return
        except EngineStopped as stopped:
            if not isinstance(stopped.__cause__, StoreFull):
                raise
            return
        log.warning("the disk has room again: the node has begun anew on what it has stored")

    def _refuse_submitted(self) -> None:
        while self._submitted:
            _, verdict = self._submitted.popitem()
            if verdict.set_running_or_notify_cancel():
                verdict.set_exception(self._refusal())

    def _refusal(self) -> Refused:
        return Refused(self.phase.value, _SENTENCES[self.phase])

    # ---- what leaves ----

    def _carry_out(self, outputs: Outputs) -> None:
        for output in outputs:
            self._carry(output)

    def _carry(self, output: Output) -> None:
        host = self._ports.host
        match output:
            case Send(call, topic, data):
                host.publish(self._calls.number(call), topic, data)
            case Call(call):
                refusal = self._calls.leave(output)
                if refusal is not None:
                    self.returned(self._calls.number(call), refusal)
            case Abandon(call):
                self._calls.give_up(call)
            case Judge(message, verdict):
                self._judged(message, verdict)
            case Outgoing(number, result):
                host.reply(number, result)
            case Penalise(peer, reason):
                host.penalise(peer, reason)
            case StopIdentity(identity, sentence):
                log.error("identity %s signs no more: %s", identity.hex(), sentence)
                self._ports.keys.stop(identity, sentence)
            case Emit():
                pass  # told when it was committed

    def _judged(self, message: Message, verdict: Verdict) -> None:
        if message.origin is Origin.GOSSIP:
            self._ports.host.judge(message, verdict)
        elif message.origin is Origin.OWN:
            if verdict.is_accepted:
                self._ports.host.publish(self._calls.number(RELAYED), message.channel, message.data)
            waiting = self._submitted.pop(message, None)
            if waiting is not None and waiting.set_running_or_notify_cancel():
                waiting.set_result(verdict)


_SENTENCES = {
    Phase.STARTING: "The node is starting.",
    Phase.RUNNING: "The node is busy.",
    Phase.NO_ROOM: "The disk of the node is full: it takes nothing new until there is room.",
    Phase.STOPPED: "The node is stopping.",
}
