"""The engine: inputs in, units of work one after another, one commit, outputs out. `docs/contract.md`.

A turn is `prepare`, which calls machines and touches nothing outside memory, and `commit`, which writes all rows of the
turn at once and lets the outputs go; the driver carries them out. Messages that follow each other without a timer in
between have their signatures and VRF proofs checked together. An engine that stopped is not used again: a new one with
new machines recovers from the stores.

More than 400 lines, because messages, demands and effects lead to each other; what stands by itself is beside it:
the order of events, open calls, messages that wait, routes.
"""

from __future__ import annotations

import traceback
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from node.contract import owed
from node.contract.bounds import Bounds
from node.contract.checks import Checker
from node.contract.demands import Demand, Failed, Fetched, Result
from node.contract.effects import (
    Ask,
    Deliver,
    Effect,
    Emit,
    GiveUp,
    Penalise,
    Publish,
    Reply,
    ReportMalfeasance,
    SetTimer,
    StopIdentity,
    StopTimer,
)
from node.contract.inputs import Answer, Asked, Change, NotSent, Sent, Tick, Timer
from node.contract.instants import Instant, after
from node.contract.machine import Derived, Machine
from node.contract.messages import Message, Origin
from node.contract.steps import Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import Verdict, ignore
from node.store.errors import StoreFault
from node.store.own import sign_once
from node.store.stores import Stores
from node.store.view import Rows, View

from .agenda import Agenda, DueTicket, DueTimer, Event
from .calls import Calls, ForMachine, ForPeer, ForTicket, OpenCall, Waiter
from .edges import Abandon, Call, Incoming, Input, Judge, Outgoing, Output, Outputs, Returned, Send
from .errors import EngineStopped, MachineFailed
from .routes import Routes
from .waiting import WaitingRoom

R = TypeVar("R")

MAX_INNER_STEPS = 1_000_000
"""Steps of one turn that follow from other steps: more, and machines answer each other without end."""


_Checking = tuple[Machine, Ticket, Needs]
"""A message whose signatures and proofs are checked at the end of the run of messages."""


class _StoppingOnErrors:
    """What an engine works in: an error is the end of it. Raises EngineStopped, but lets what ends the process pass."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            return
        self.error = error
        if isinstance(error, Exception):
            raise EngineStopped(f"A unit of work failed: {error}") from error


class Engine:
    """All machines of a node on its stores."""

    def __init__(
        self,
        machines: Sequence[Machine],
        stores: Stores,
        checker: Checker,
        bounds: Bounds | None = None,
        derived: Sequence[Derived] = (),
        listens: Callable[[str], bool] = lambda topic: True,
    ) -> None:
        """machines: in the order in which they start and are told of layers. listens: to which topics of gossip, now;
        what comes on others is ignored. Raises ValueError where two machines claim the same."""
        self._routes = Routes(machines)
        self._stores = stores
        self._checker = checker
        self._bounds = bounds or Bounds()
        self._derived = tuple(derived)
        self._listens = listens
        self._agenda = Agenda()
        self._calls = Calls()
        self._waiting = WaitingRoom(self._bounds)
        self._publishing: dict[Message, tuple[Machine, Publish]] = {}
        self._delivering: dict[Message, tuple[Machine, Deliver]] = {}
        self._next_ticket = 0
        self._stopping_on_errors = _StoppingOnErrors()
        self.counts: Counter[tuple[str, str, str]] = Counter()
        """How many messages had which verdict: channel, answer, reason."""
        # of the turn
        self._now = Instant(0)
        self._rows: Rows | None = None
        self._outputs: list[Output] = []
        self._checking: list[_Checking] = []
        self._inner: deque[Callable[[], None]] = deque()
        self._inner_steps = 0

    # ---- for the driver ----

    def start(self, now: Instant) -> Outputs:
        """Let every machine rebuild its memory, committed; once, before anything else. Raises EngineStopped."""
        self.recover(now)
        return self.commit()

    def recover(self, now: Instant) -> None:
        """The first half of `start`, as `prepare` is of a turn. Raises EngineStopped."""
        self._begin(now)
        with self._stopping_on_errors:
            owed.clear_expired(self._turn, now)
            for machine in self._routes.machines:
                self._unit(machine, lambda view, machine=machine: machine.start(view, now))  # type: ignore[misc]
                self._settle()
            self._check()

    def turn(self, inputs: Sequence[Input], now: Instant) -> Outputs:
        """Everything that was received or is due, committed; what the driver has to carry out. Raises EngineStopped."""
        self.prepare(inputs, now)
        return self.commit()

    def prepare(self, inputs: Sequence[Input], now: Instant) -> None:
        """The first half of a turn: nothing is written and nothing leaves. Raises EngineStopped."""
        self._begin(now)
        with self._stopping_on_errors:
            self._agenda.add(inputs)
            while True:
                if self._checking and not isinstance(self._agenda.peek(now), (Message, Returned, Incoming)):
                    self._check()  # which may set timers that come first, or take back the one that is next
                    continue
                event = self._agenda.take(now)
                if event is None:
                    break
                self._handle(event)
                self._settle()

    def commit(self, sync: bool = False, show: Callable[[Rows, Outputs], None] = lambda rows, outputs: None) -> Outputs:
        """The second half: own rows, synced, then all others, then the outputs. Raises EngineStopped.

        sync: all that was written until now is on stable storage on return. show: is given the rows that were written,
        and the outputs, before they leave; rows are not to be read after it returns. It raises nothing.
        """
        rows = self._rows
        if rows is None:
            raise ValueError("no turn was prepared")
        outputs, self._outputs = self._outputs, []
        with self._stopping_on_errors:
            self._stores.write(rows, sync)
            show(rows, outputs)
            rows.root.close()
        self._rows = None
        return outputs

    def next_due(self) -> Instant | None:
        """When the next turn is due even if nothing is received; None: never."""
        return self._agenda.next_due()

    @property
    def open_calls(self) -> int:
        """Demands and messages to be sent that have not been answered."""
        return len(self._calls)

    @property
    def waiting(self) -> int:
        """Messages that wait for demands."""
        return len(self._waiting)

    # ---- a turn ----

    def _begin(self, now: Instant) -> None:
        stopped = self._stopping_on_errors.error
        if stopped is not None:
            raise EngineStopped("The engine has stopped; begin a new one on the stores.") from stopped
        if self._rows is not None:
            raise ValueError("the turn before was not committed")
        self._now = now
        self._inner_steps = 0
        with self._stopping_on_errors:
            self._rows = Rows(self._stores.view())

    @property
    def _turn(self) -> Rows:
        if self._rows is None:
            raise ValueError("no turn is being prepared")
        return self._rows

    def _handle(self, event: Event) -> None:
        match event:
            case Message():
                self._admit(event)
            case Returned(call, result, received):
                self._answered(call, result, received)
            case Incoming(number, request, received):
                self._serve(request, ForPeer(number), received)
            case Tick():
                for machine in self._routes.tickers:
                    self._tick(machine, event)
                    self._settle()
            case DueTimer(machine, key, due):
                self._unit(machine, lambda view: machine.timer(Timer(key, due), view, self._now))
            case DueTicket(ticket):
                self._expire(ticket)

    def _tick(self, machine: Machine, tick: Tick) -> None:
        self._unit(machine, lambda view: machine.tick(tick, view, self._now))

    def _settle(self) -> None:
        """What follows from a unit, in the order in which it came up."""
        while self._inner:
            self._inner_steps += 1
            if self._inner_steps > MAX_INNER_STEPS:
                raise RuntimeError(f"more than {MAX_INNER_STEPS} steps of one turn follow from each other")
            self._inner.popleft()()

    # ---- units ----

    def _unit(self, machine: Machine, work: Callable[[View], Step]) -> None:
        step = work(self._turn)
        self._apply(machine, step.rows, step.effects)

    def _on_message(self, machine: Machine, message: Message, work: Callable[..., R], *given: object) -> R | Judged:
        """A step of a message. One that fails costs the message, not the node, as long as no memory was touched."""
        before = sum([room.touches for room in self._derived])  # they only grow
        try:
            return work(*given, self._turn, self._now)
        except StoreFault:
            raise
        except Exception as error:  # whatever a machine has overlooked in what a peer sent
            if sum([room.touches for room in self._derived]) != before:
                raise
            text = "".join(traceback.format_exception(error))
            self._outputs.append(Emit(MachineFailed(machine.name, message.channel, text)))
            return Judged(ignore("fault", f"{type(error).__name__}: {error}"))

    def _apply(self, machine: Machine, rows: Rows | None, effects: Sequence[Effect]) -> None:
        """Rows, then effects, of a unit that has succeeded."""
        if rows is not None:
            changes = [
                (watcher, Change(table, [key for key, _ in rows.changes(table)]))
                for table in rows.tables()
                for watcher in self._routes.watchers(table)
                if watcher is not machine
            ]
            self._turn.merge(rows)
            for watcher, change in changes:
                self._inner.append(lambda watcher=watcher, change=change: self._tell(watcher, change))  # type: ignore[misc]
        for effect in effects:
            self._do(machine, effect)

    def _tell(self, machine: Machine, change: Change) -> None:
        self._unit(machine, lambda view: machine.changed(change, view, self._now))

    # ---- messages ----

    def _admit(self, message: Message) -> None:
        machine = self._routes.judge_of(message)
        if machine is None:
            self._finish(message, ignore("no_handler"))
            return
        if message.origin is Origin.GOSSIP and not self._listens(message.channel):
            self._finish(message, ignore("not_synced"))
            return
        result = self._on_message(machine, message, machine.admit, message)
        self._next_ticket += 1
        ticket = Ticket(self._next_ticket, message, None, after(message.received, self._bounds.wait))
        self._go_on(machine, ticket, result)

    def _proceed(self, machine: Machine, ticket: Ticket, found: Found) -> None:
        result = self._on_message(machine, ticket.message, machine.proceed, ticket, found)
        self._go_on(machine, ticket, result)

    def _go_on(self, machine: Machine, ticket: Ticket, result: Judged | Needs) -> None:
        if isinstance(result, Judged):
            self._apply(machine, result.rows, result.effects)
            self._finish(ticket.message, result.verdict)
            return
        ticket = Ticket(ticket.id, ticket.message, result.memo, ticket.expires)
        if result.demands:
            self._wait(machine, ticket, result.demands)
        else:
            self._checking.append((machine, ticket, result))

    def _check(self) -> None:
        """All signatures and VRF proofs of a run of messages, and of what they need then, each time in one batch."""
        while self._checking:
            batch, self._checking = self._checking, []
            signatures = [check for _, _, needs in batch for check in needs.signatures]
            proofs = [check for _, _, needs in batch for check in needs.vrf_proofs]
            signed = iter(self._checker.signatures(signatures) if signatures else ())
            proven = iter(self._checker.vrf_proofs(proofs) if proofs else ())
            for machine, ticket, needs in batch:
                found = Found(
                    tuple(islice(signed, len(needs.signatures))), tuple(islice(proven, len(needs.vrf_proofs)))
                )
                self._proceed(machine, ticket, found)
                self._settle()

    def _finish(self, message: Message, verdict: Verdict) -> None:
        self.counts[message.channel, verdict.judgement.value, verdict.reason] += 1
        if message in self._publishing:
            self._finish_own(message, verdict)
        elif message in self._delivering:
            machine, deliver = self._delivering.pop(message)
            self._queue_answer(machine, deliver.tag, deliver, Fetched(verdict))
        elif message.origin is not Origin.RESTORED:
            self._outputs.append(Judge(message, verdict))
            if message.origin is Origin.FETCHED and message.expected is not None:
                call = self._calls.fetching(message.channel, message.expected)
                if call is not None and call.server is None:
                    self._inner.append(lambda: self._answered(call.id, Fetched(verdict), self._now))

    def _finish_own(self, message: Message, verdict: Verdict) -> None:
        machine, publish = self._publishing.pop(message)
        if not verdict.is_accepted:
            if publish.tag is not None:
                self._queue_answer(machine, publish.tag, publish, NotSent(verdict))
            return
        call, _ = self._calls.open(publish, ForMachine(machine, None), None)
        self._outputs.append(Send(call.id, publish.topic, publish.data))

    # ---- waiting ----

    def _wait(self, machine: Machine, ticket: Ticket, demands: Sequence[Demand]) -> None:
        refusal = self._waiting.refusal(ticket, self._now)
        if refusal is not None:
            self._finish(ticket.message, ignore(refusal))
            return
        waiting = self._waiting.add(machine, ticket, len(demands))
        self._agenda.set_end(ticket.id, ticket.expires)
        for place, demand in enumerate(demands):
            waiting.calls.append(self._serve(demand, ForTicket(ticket.id, place), self._now))

    def _expire(self, ticket: int) -> None:
        waiting = self._waiting.remove(ticket)
        for place, call in enumerate(waiting.calls):
            self._leave(ForTicket(ticket, place), call)
        self._finish(waiting.ticket.message, ignore("expired"))

    # ---- demands ----

    def _serve(self, demand: Demand, waiter: Waiter, received: Instant) -> int:
        """Ask whoever serves a demand; the number of the call."""
        server = self._routes.server_of(demand)
        call, is_new = self._calls.open(demand, waiter, server)
        if is_new:
            if server is not None:
                asked = Asked(call.id, demand, received)
                self._inner.append(lambda: self._unit(server, lambda view: server.serve(asked, view, self._now)))
            elif isinstance(waiter, ForPeer):
                self._inner.append(lambda: self._answered(call.id, Failed("no_protocol"), received))
            else:
                self._outputs.append(Call(call.id, demand))
        return call.id

    def _leave(self, waiter: Waiter, call: int) -> None:
        left = self._calls.leave(waiter, call)
        if left is not None and left.server is None:
            self._outputs.append(Abandon(left.id))

    def _answered(self, call: int, result: Result | Sent | NotSent, received: Instant) -> None:
        found = self._calls.close(call)
        if found is None:
            self.counts["", "late_answer", ""] += 1
            return
        if isinstance(found.asked, Publish):
            self._sent(found, found.asked, result, received)
            return
        if isinstance(result, (Sent, NotSent)):
            raise ValueError(f"call {call} is a demand, but was answered as a message")
        for waiter in found.waiters:
            match waiter:
                case ForPeer(number):
                    self._outputs.append(Outgoing(number, result))
                case ForMachine(machine, tag):
                    self._queue_answer(machine, tag, found.asked, result, received)
                case ForTicket(ticket, place):
                    self._fill(ticket, place, result)

    def _fill(self, ticket: int, place: int, result: Result) -> None:
        waiting = self._waiting.fill(ticket, place, result)
        if waiting is not None:
            self._agenda.forget_end(ticket)
            self._proceed(waiting.machine, waiting.ticket, Found(results=waiting.found))

    def _sent(self, call: OpenCall, publish: Publish, result: Result | Sent | NotSent, received: Instant) -> None:
        """A message has left, or not; then it is still owed."""
        (waiter,) = call.waiters
        assert isinstance(waiter, ForMachine), "messages are published by machines"
        if not isinstance(result, (Sent, NotSent)):
            raise ValueError(f"call {call.id} is a message, but was answered as a demand")
        if isinstance(result, Sent) and publish.owed_until is not None:
            rows = Rows(self._turn)
            owed.clear(rows, waiter.machine.name, publish)
            self._apply(waiter.machine, rows, ())
        if publish.tag is not None:
            self._queue_answer(waiter.machine, publish.tag, publish, result, received)

    def _queue_answer(
        self,
        machine: Machine,
        tag: Hashable,
        asked: Demand | Publish | Deliver,
        result: Result | Sent | NotSent,
        received: Instant | None = None,
    ) -> None:
        answer = Answer(tag, asked, result, self._now if received is None else received)
        self._inner.append(lambda: self._unit(machine, lambda view: machine.answer(answer, view, self._now)))

    # ---- effects ----

    def _do(self, machine: Machine, effect: Effect) -> None:
        match effect:
            case Publish():
                self._publish(machine, effect)
            case Ask(demand, tag):
                self._give_up(machine, tag)
                self._serve(demand, ForMachine(machine, tag), self._now)
            case GiveUp(tag):
                self._give_up(machine, tag)
            case Reply(call, result):
                self._inner.append(lambda: self._answered(call, result, self._now))
            case Deliver():
                self._deliver(machine, effect)
            case SetTimer(key, due):
                self._agenda.set_timer(machine, key, due)
            case StopTimer(key):
                self._agenda.stop_timer(machine, key)
            case ReportMalfeasance():
                self._inner.append(lambda: self._convict(effect))
            case Emit() | Penalise() | StopIdentity():
                self._outputs.append(effect)

    def _publish(self, machine: Machine, publish: Publish) -> None:
        message = Message(publish.topic, publish.data, Origin.OWN, self._now)
        judge = self._routes.judge_of(message)
        if judge is not None and judge.signs and publish.slot is None:
            raise ValueError(f"{machine.name} publishes on {publish.topic} without saying what was signed")
        if publish.slot is not None:
            stored = sign_once(self._turn, publish.slot, publish.data)
            if stored != publish.data:
                self.counts[publish.topic, "slot_taken", publish.slot.kind.name] += 1
                publish, message = replace(publish, data=stored), replace(message, data=stored)
        if publish.owed_until is not None:
            owed.note(self._turn, machine.name, publish)
        self._publishing[message] = (machine, publish)
        self._inner.append(lambda: self._admit(message))

    def _deliver(self, machine: Machine, deliver: Deliver) -> None:
        message = Message(deliver.hint, deliver.data, Origin.FETCHED, self._now, peer=deliver.peer, expected=deliver.id)
        self._delivering[message] = (machine, deliver)
        self._inner.append(lambda: self._admit(message))

    def _give_up(self, machine: Machine, tag: Hashable) -> None:
        call = self._calls.tagged(machine, tag)
        if call is not None:
            self._leave(ForMachine(machine, tag), call)

    def _convict(self, report: ReportMalfeasance) -> None:
        keeper = self._routes.keeper
        if keeper is None:
            raise ValueError("malfeasance was reported, but no machine keeps proofs")
        self._unit(keeper, lambda view: keeper.convict(report.identity, report.proof, view, self._now))
