"""One node of a world: drives an engine as a runtime does, and loses what a crash loses.

What arrives at an instant is one turn. Outputs are carried out when the turn is committed; what comes of them are
inputs of later turns. A node that is down hears nothing; when it comes back, new machines recover from its stores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from node.contract.checks import Checker
from node.contract.demands import Demand, PeerRequest, Request, Result
from node.contract.effects import Emit, Penalise, StopIdentity
from node.contract.inputs import NotSent, Sent, Tick
from node.contract.instants import Instant
from node.contract.messages import Message, Origin, PeerId
from node.engine.edges import Abandon, Call, Incoming, Input, Judge, Outgoing, Output, Outputs, Returned, Send
from node.engine.engine import Engine
from node.engine.errors import EngineStopped
from node.store.own import OwnStore
from node.store.store import Store
from node.store.stores import Stores
from node.store.table import Schema
from node.store.view import View
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import EpochId, LayerId, NodeId

from .chance import Chance
from .clocks import SkewedClock
from .disk import Changes, Crash, Cut, Disk
from .keys import SimKeys
from .network import Network
from .ports import Ports
from .role import HONEST, Role
from .timeline import TURN, Timeline
from .watch import Watcher

T = TypeVar("T")

RESTART_TIME = 5 * SECOND
"""How long a node whose engine stopped by itself is down."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the machines of a node are built on, anew at every start."""

    number: int
    identities: frozenset[NodeId]
    """All of its keys, whether they may still sign or not."""
    time: NetworkTime
    keys: SimKeys
    stores: Stores
    checker: Checker
    chance: Chance
    peers: Callable[[], Sequence[PeerId]]


@dataclass(frozen=True, slots=True)
class Built:
    """An engine with its machines."""

    engine: Engine
    verified: Callable[[], int] = lambda: 0
    """The newest layer up to which tortoise has verified all; 0 for a node without one."""
    margin: Callable[[LayerId], float | None] = lambda layer: None
    """As `Seen.margin`."""
    committee: Callable[[EpochId], frozenset[NodeId] | None] = lambda epoch: None
    """As `Seen.committee`."""
    node: object = None
    """All of it, for who looks on."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A node, before the world begins."""

    number: int
    keys: SimKeys
    clock: SkewedClock
    build: Callable[[Site], Built]
    schemas: tuple[Schema, Schema]
    """Of the state's store and the own store."""
    role: Role = HONEST


class SimNode:
    """One node. Also a `network.Station`, and `seen.Seen`."""

    def __init__(
        self,
        plan: Plan,
        time: NetworkTime,
        timeline: Timeline,
        network: Network,
        ports: Ports,
        checker: Checker,
        chance: Chance,
        watchers: Sequence[Watcher],
    ) -> None:
        self.plan = plan
        self.identities = frozenset(signer.identity for signer in plan.keys.signers())
        self.number, self.keys, self.is_honest = plan.number, plan.keys, plan.role.is_honest
        self.time = time
        self.timeline, self.network = timeline, network
        self.ports = ports
        self.chance = chance
        self.disk = Disk(timeline.now, chance.of("disk"))
        self._state, self._own = self.disk.database(), self.disk.database()
        self._own.on_write = self._tell_own_rows
        self._checker = checker
        self._watchers = watchers
        self._watch_turns: list[Callable[[SimNode, Sequence[Input], Outputs], None]] = []
        self._watch_own_rows: list[Callable[[SimNode, Changes], None]] = []
        """Of the watchers that do something at all: these two are called very often."""
        self.events: Counter[str] = Counter()
        """What the machines told of, by the name of the event."""
        self.lives = 0
        """How often it has started."""
        self.stores: Stores | None = None
        self.built: Built | None = None
        self._inbox: list[Input] = []
        self._wakes_at: Instant | None = None
        self._next_layer = LayerId(0)
        self._crash_to_come = Crash.KILL, RESTART_TIME
        self._role = plan.role

    # ---- for the world ----

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self.built is not None

    def local(self) -> Instant:
        """The time by its own clock."""
        return self.plan.clock.local(self.timeline.now())

    @property
    def verified(self) -> int:
        """The newest layer up to which it has verified all."""
        return 0 if self.built is None else self.built.verified()

    def margin(self, layer: LayerId) -> float | None:
        """As Seen says."""
        return None if self.built is None else self.built.margin(layer)

    def committee(self, epoch: EpochId) -> frozenset[NodeId] | None:
        """As Seen says."""
        return None if self.built is None else self.built.committee(epoch)

    def read(self, function: Callable[[View], T]) -> T:
        """What a function says of its stores now. Only of a node that is up."""
        assert self.stores is not None, "only who is up is asked"
        view = self.stores.view()
        found = function(view)
        view.close()
        return found

    def double_signed(self, topic: str, first: bytes, second: bytes) -> None:
        """Its role has signed two messages for one slot."""
        self._tell(lambda one: one.double_signed(self, topic, first, second))

    def start(self) -> None:
        """Begin, or begin again on what the disk holds."""
        if self.is_up:
            return
        state, own = self.plan.schemas
        self.lives += 1
        self.stores = Stores(Store(state, self._state), OwnStore(own, self._own))
        self.network.forget(self.number)
        peers = lambda: self.network.peers(self.number)  # noqa: E731
        site = Site(
            self.number,
            self.identities,
            self.time,
            self.keys,
            self.stores,
            self._checker,
            self.chance.of(self.lives),
            peers,
        )
        watchers = self._watchers
        self._watch_turns = [one.turned for one in watchers if type(one).turned is not Watcher.turned]
        self._watch_own_rows = [one.own_rows for one in watchers if type(one).own_rows is not Watcher.own_rows]
        self._inbox = []
        now = self.local()
        self._next_layer = LayerId(self.time.layer_at(now) + (now >= self.time.genesis_ns))
        self.built = self.plan.build(site)

        def begin(engine: Engine) -> Outputs:
            outputs = engine.start(now)
            self._tell(lambda one: one.started(self, outputs))
            return outputs

        self._work(begin)

    def crash(self, kind: Crash, downtime: int) -> None:
        """It goes down at once, for so long."""
        if not self.is_up:
            return
        self.built, self.stores, self._inbox, self._wakes_at = None, None, [], None
        self.disk.crash(kind)
        self._tell(lambda one: one.crashed(self, kind))
        self.timeline.after(downtime, self.start)

    def crash_in_write(self, kind: Crash, downtime: int, write: int) -> None:
        """It goes down in the write-th write from now on, in the middle of a commit."""
        if not self.is_up:
            return
        self._crash_to_come = kind, downtime
        self.disk.cut_at_write(write)

    # ---- for the network ----

    def hear(self, topic: str, data: bytes, peer: PeerId) -> None:
        """As Station says."""
        self.put(Message(topic, data, Origin.GOSSIP, self.local(), peer))

    def ask(self, number: int, request: PeerRequest) -> None:
        """As Station says."""
        self.put(Incoming(number, request, self.local()))

    def put(self, one: Input) -> None:
        """An input, for the turn of this instant."""
        self._inbox.append(one)
        self._wake_at(self.timeline.now())

    # ---- turns ----

    def _wake_at(self, instant: Instant) -> None:
        if self._wakes_at is not None and self._wakes_at <= instant:
            return
        self._wakes_at = instant
        life = self.lives
        self.timeline.at(instant, lambda: self._wake(instant, life), TURN)

    def _wake(self, instant: Instant, life: int) -> None:
        if self._wakes_at != instant or life != self.lives or not self.is_up:
            return  # another turn came before
        self._wakes_at = None
        inputs, self._inbox = self._inbox, []
        now = self.local()
        while now >= self.time.start_ns(self._next_layer):
            inputs.append(Tick(self._next_layer, Instant(self.time.start_ns(self._next_layer))))
            self._next_layer = LayerId(self._next_layer + 1)

        def turn(engine: Engine) -> Outputs:
            outputs = engine.turn(inputs, now)
            for turned in self._watch_turns:
                turned(self, inputs, outputs)
            return outputs

        self._work(turn)

    def _work(self, work: Callable[[Engine], Outputs]) -> None:
        assert self.built is not None, "only who is up works"
        engine = self.built.engine
        try:
            outputs = work(engine)
        except Cut:
            self.crash(*self._crash_to_come)
            return
        except EngineStopped as error:
            reason = error
            self._tell(lambda one: one.stopped(self, reason))
            self.crash(Crash.KILL, RESTART_TIME)
            return
        self.ports.expect([output.demand for output in outputs if isinstance(output, Call)])
        for output in outputs:
            self._carry_out(output)
        due = Instant(self.time.start_ns(self._next_layer))
        timer = engine.next_due()
        self._wake_at(self.plan.clock.world(due if timer is None else min(due, timer)))

    # ---- what leaves ----

    def _carry_out(self, output: Output) -> None:
        match output:
            case Send(call, topic, data):
                for parcel in self._role.says(self, topic, data):
                    self.network.publish(self.number, parcel.topic, parcel.data, parcel.to, parcel.delay)
                self.put(Returned(call, Sent(), self.local()))
            case Call(call, demand):
                self._call(call, demand)
            case Judge(message, verdict):
                if verdict.is_accepted and message.origin is Origin.GOSSIP:
                    self.network.accepted(self.number, message.channel, message.data, message.peer)
            case Outgoing(number, result):
                self.network.reply(number, self._role.answers(self, result))
            case Emit(event):
                self.events[type(event).__name__] += 1
            case Penalise():
                self.events["Penalise"] += 1
            case StopIdentity(identity, sentence):
                self.keys.stop(identity, sentence)
            case Abandon():
                pass  # an answer that comes all the same is counted as late

    def _call(self, call: int, demand: Demand) -> None:
        if isinstance(demand, Request):
            self.network.request(self.number, demand, self._return(call))
        else:
            delay, result = self.ports.answer(demand, self.timeline.now())
            result, answer = self._role.proves(self, demand, result), self._return(call)
            self.timeline.after(delay, lambda: answer(result))

    def _return(self, call: int) -> Callable[[Result | Sent | NotSent], None]:
        life = self.lives

        def put(result: Result | Sent | NotSent) -> None:
            if self.is_up and life == self.lives:
                self.put(Returned(call, result, self.local()))

        return put

    def _tell_own_rows(self, changes: Changes) -> None:
        for own_rows in self._watch_own_rows:
            own_rows(self, changes)

    def _tell(self, tell: Callable[[Watcher], None]) -> None:
        for watcher in self._watchers:
            tell(watcher)
