"""A network of nodes in one process: gossip with verdicts, questions and answers, all connected with all.

A message goes to everybody; who accepts it hands it on to whoever has not had it. Who rejects one, or a question that
cannot be answered, is counted. Calls come from the threads of all nodes and are told in the caller's: receivers take
and return at once.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from node.contract.demands import Failed, PeerRequest, Request, Result
from node.contract.inputs import NotSent, Sent
from node.contract.messages import Message, PeerId
from node.contract.ports import Clock
from node.contract.verdicts import Judgement, Verdict, ignore
from protocol.crypto.hashing import hash20

from .port import Contact, Receiver

KNOWN = 100_000
"""Messages that a node remembers to have had; older ones are told again."""


@dataclass(slots=True)
class _Open:
    """A question that has not been answered."""

    asker: MemoryHost
    call: int
    asked: MemoryHost


class MemoryNetwork:
    """All nodes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._hosts: dict[PeerId, MemoryHost] = {}
        self._questions: dict[int, _Open] = {}
        self._next = 0
        self._made = 0

    def host(self, id: str = "") -> MemoryHost:
        """A place for one more node. id: as people read it; empty: a number of its own."""
        with self._lock:
            self._made += 1
            return MemoryHost(self, PeerId(id.encode() or b"node-%04d" % self._made))

    def now(self) -> int:
        """By the clock of the network."""
        return self._clock.now()

    # ---- for hosts ----

    def join(self, host: MemoryHost) -> None:
        """It takes part."""
        with self._lock:
            self._hosts[host.peer] = host

    def leave(self, host: MemoryHost) -> None:
        """It does not any more: nobody waits for an answer of it, and it for none."""
        with self._lock:
            self._hosts.pop(host.peer, None)
            gone = {n: one for n, one in self._questions.items() if host in (one.asker, one.asked)}
            for number in gone:
                del self._questions[number]
        for one in gone.values():
            one.asker.tell(one.call, Failed("no_peers", "The peer has left."))

    def others(self, host: MemoryHost) -> list[MemoryHost]:
        """All but one."""
        with self._lock:
            return [one for one in self._hosts.values() if one is not host]

    def is_here(self, host: MemoryHost) -> bool:
        """Whether it takes part."""
        with self._lock:
            return self._hosts.get(host.peer) is host

    def ask(self, asker: MemoryHost, call: int, request: Request) -> None:
        """Hand a question to a peer."""
        with self._lock:
            asked = self._hosts.get(request.peer)
            if asked is not None:
                self._next += 1
                number = self._next
                self._questions[number] = _Open(asker, call, asked)
        if asked is None:
            asker.tell(call, Failed("no_peers", "The peer is not connected."))
        else:
            asked.question(number, PeerRequest(request.protocol, request.data, asker.peer))

    def answer(self, number: int, result: Result) -> None:
        """Hand an answer to whoever asked."""
        with self._lock:
            found = self._questions.pop(number, None)
        if found is not None:
            found.asker.tell(found.call, result)


@dataclass(slots=True, eq=False)
class MemoryHost:
    """One node's end. A `port.Host`."""

    network: MemoryNetwork
    peer: PeerId
    penalties: Counter[tuple[PeerId, str]] = field(default_factory=Counter)
    """By peer and reason: what a verdict or a machine held against it."""
    _receiver: Receiver | None = None
    _known: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    _known_lock: threading.Lock = field(default_factory=threading.Lock)
    _joined: int = 0

    @property
    def id(self) -> str:
        """As Host says."""
        return self.peer.decode()

    @property
    def addresses(self) -> tuple[str, ...]:
        """As Host says: nowhere."""
        return ()

    @property
    def clock_offset(self) -> int | None:
        """As Host says: all nodes of a process have one clock."""
        return 0

    def open(self, receiver: Receiver) -> None:
        """As Host says."""
        self._receiver = receiver
        self._joined = self.network.now()
        self.network.join(self)

    def close(self) -> None:
        """As Host says."""
        self.network.leave(self)
        self._receiver = None

    def contacts(self) -> list[Contact]:
        """As Host says."""
        now = self.network.now()
        return [
            Contact(one.peer, one.id, ("memory",), now - max(self._joined, one._joined), one._joined < self._joined)
            for one in self.network.others(self)
        ]

    def peers(self) -> Sequence[PeerId]:
        """As Network says."""
        return [one.peer for one in self.network.others(self)]

    # ---- gossip ----

    def publish(self, call: int, topic: str, data: bytes) -> None:
        """As Network says: with nobody there the message is sent all the same, as it is where nobody listens."""
        if not self.network.is_here(self):
            self.tell(call, NotSent(ignore("closed", "The node takes no part.")))
            return
        self._is_new(topic, data)
        for other in self.network.others(self):
            other.hear(topic, data, self.peer)
        self.tell(call, Sent())

    def judge(self, message: Message, verdict: Verdict) -> None:
        """As Network says."""
        if verdict.judgement is Judgement.REJECT and message.peer is not None:
            self.penalise(message.peer, verdict.reason)
        elif verdict.is_accepted:
            for other in self.network.others(self):
                if other.peer != message.peer:
                    other.hear(message.channel, message.data, self.peer)

    def hear(self, topic: str, data: bytes, peer: PeerId) -> None:
        """A peer has sent a message."""
        receiver = self._receiver
        if receiver is not None and self._is_new(topic, data):
            receiver.heard(topic, data, peer)

    def _is_new(self, topic: str, data: bytes) -> bool:
        id = hash20(topic.encode(), b"\0", data)
        with self._known_lock:
            if id in self._known:
                return False
            self._known[id] = None
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
            return True

    # ---- questions ----

    def request(self, call: int, request: Request) -> None:
        """As Network says."""
        self.network.ask(self, call, request)

    def question(self, number: int, request: PeerRequest) -> None:
        """A peer asks."""
        receiver = self._receiver
        if receiver is None:
            self.network.answer(number, Failed("no_peers", "The peer has left."))
        else:
            receiver.asked(number, request)

    def reply(self, call: int, result: Result) -> None:
        """As Network says."""
        self.network.answer(call, result)

    def penalise(self, peer: PeerId, reason: str) -> None:
        """As Network says: it is counted, since all nodes are of one process."""
        self.penalties[peer, reason] += 1

    def tell(self, call: int, result: Result | Sent | NotSent) -> None:
        """What came of a call of this node."""
        receiver = self._receiver
        if receiver is not None:
            receiver.returned(call, result)
