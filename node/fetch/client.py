"""The machine that gets objects from peers and hands them to whoever judges their kind.

| state of an object | until |
|---|---|
| queued | it was gathered with others, and a peer that may have it is not busy |
| asked | the peer answers or its time is over |
| judged | the machine of its kind has said what it is |
| paused | a round is over in which nobody had it |

| what a peer does | then |
|---|---|
| has it not, is silent, closes | the next peer |
| sends no answer to the question, or objects that were not asked for | blamed; the next peer for what is missing |
| sends an object that is not the one | blamed; the next peer |
| sends the object, and it is rejected | blamed; the next peer; after so many, it is bad |
| sends an object that is ignored for another reason | that is the answer |

That an object is the one with the id is checked by the machine that judges it, which knows its form; nothing is used
before. Ids of ballots, proposals and activations do not cover signatures, so that a bad one says nothing of what other
peers have. Protocol 09a, section 4.4.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from node.contract.demands import Demand, Failed, Fetch, Fetched, Request, Result
from node.contract.effects import Ask, Deliver, Effect, Penalise, Reply, SetTimer, StopTimer
from node.contract.inputs import Answer, Asked, Timer
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.messages import PeerId
from node.contract.steps import Step
from node.contract.verdicts import ACCEPT, Judgement, Verdict
from node.fetch.blobs import Sources
from node.fetch.parameters import FetchParameters
from node.fetch.peers import PeerScores
from node.fetch.protocols import OBJECTS, OWN_PROTOCOL
from node.fetch.wanted import Key, Wanted
from node.store.view import View
from protocol.codec.declare import CodecError
from protocol.types.fetch import RequestBatch, ResponseBatch

NOT_THE_ONE = frozenset({"malformed", "wrong_hash", "incorrect_hash"})
"""Reasons of verdicts on bytes that are no object of the kind, or another one."""

NO_LIE = frozenset({"unknown_identity"})
"""Reasons of rejections that come of what we do not know: nobody is blamed, and nobody else is asked."""

_FLUSH, _LOOK, _PAUSE = "flush", "look", "pause"
"""Timers: what was gathered is asked for; peers that came meanwhile are looked for; a pause is over."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Objects that one peer was asked for. Also the tag of the request."""

    number: int
    peer: PeerId
    protocol: str
    id: bytes
    keys: tuple[Key, ...]
    begun: Instant


@dataclass(frozen=True, slots=True)
class _Object:
    """An object that is being judged. Also the tag."""

    key: Key
    peer: PeerId


class Fetching(Machine):
    """All objects that one node wants of its peers."""

    name = "fetch"
    serves: ClassVar[Sequence[type[Demand]]] = (Fetch,)

    def __init__(self, parameters: FetchParameters, scores: PeerScores, sources: Sources) -> None:
        """sources: of all kinds that may be here already, by hint."""
        self._parameters = parameters
        self._scores = scores
        self._sources = sources
        self._wanted: dict[Key, Wanted] = {}
        self._queue: deque[Key] = deque()
        self._gathered: int | None = None
        """Objects that were queued since the flush was set; None: it is not set."""
        self._is_held_up = False
        """Whether some are in the queue for whom no peer was free."""
        self._open: Counter[PeerId] = Counter()
        """Requests that were not answered, by peer."""
        self._paused: deque[tuple[Instant, Key]] = deque()
        """Ascending, for every pause is as long as the others."""
        self._next = 0
        self.counts: Counter[tuple[str, str]] = Counter()
        """What became of objects, by hint and reason: `here`, `accept`, `busy`, `not_found`, of verdicts; and what was
        wrong with answers, under an empty hint."""

    @property
    def wanted(self) -> int:
        """Objects that are wanted."""
        return len(self._wanted)

    @property
    def open_requests(self) -> int:
        """Requests that were not answered."""
        return self._open.total()

    # ---- what is wanted ----

    def serve(self, asked: Asked, view: View, now: Instant) -> Step:
        """As Machine says."""
        demand = asked.demand
        assert isinstance(demand, Fetch), "it serves no other demand"
        if self._has(view, (demand.hint, demand.id)):
            self.counts[demand.hint, "here"] += 1
            return Step(effects=[Reply(asked.id, Fetched(ACCEPT))])
        known = self._wanted.get((demand.hint, demand.id))
        if known is not None:
            known.join(asked.id, demand.peers)
            return Step()
        if len(self._wanted) >= self._parameters.max_wanted:
            self.counts[demand.hint, "busy"] += 1
            return Step(effects=[Reply(asked.id, Failed("busy", f"{len(self._wanted)} objects are wanted already."))])
        self._wanted[demand.hint, demand.id] = Wanted.of(asked.id, demand)
        return Step(effects=self._put_in_queue((demand.hint, demand.id), now))

    def _has(self, view: View, key: Key) -> bool:
        source = self._sources.get(key[0])
        return source is not None and source.has(view, key[1])

    def _put_in_queue(self, key: Key, now: Instant) -> list[Effect]:
        self._queue.append(key)
        if self._gathered is None:
            self._gathered = 1
            return [SetTimer(_FLUSH, after(now, self._parameters.gather))]
        self._gathered += 1
        return self._flush(now) if self._gathered >= self._parameters.gather_at_most else []

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        """As Machine says: a pause is over, or what was gathered is to be asked for."""
        effects: list[Effect] = []
        if timer.key in (_FLUSH, _LOOK):
            return Step(effects=self._flush(now))
        connected = set(self._scores.connected())
        while self._paused and self._paused[0][0] <= now:
            _, key = self._paused.popleft()
            wanted = self._wanted.get(key)
            if wanted is None:
                continue
            if self._has(view, key):
                self._finish(wanted, Fetched(ACCEPT), effects)
            elif wanted.begin_round(connected, self._parameters.rounds):
                effects += self._put_in_queue(key, now)
            else:
                self._finish(wanted, _failure(wanted, connected), effects)
        self._set_pause(effects)
        return Step(effects=effects)

    def _set_pause(self, effects: list[Effect]) -> None:
        if self._paused:
            effects.append(SetTimer(_PAUSE, self._paused[0][0]))

    # ---- whom to ask ----

    def _flush(self, now: Instant) -> list[Effect]:
        effects: list[Effect] = [StopTimer(_FLUSH)]
        self._gathered = None
        connected = set(self._scores.connected())
        by_peer: dict[tuple[PeerId, str], list[Wanted]] = {}
        taken = Counter(self._open)  # with those that are being put together
        full = {peer for peer, count in taken.items() if count >= self._parameters.max_requests_of_peer}
        passed_over: list[Key] = []
        while (
            self._queue
            and self._open.total() + len(by_peer) < self._parameters.max_requests
            and len(passed_over) < self._parameters.max_passed_over
        ):
            key = self._queue.popleft()
            wanted = self._wanted[key]
            protocol = OWN_PROTOCOL.get(wanted.hint, OBJECTS)
            busy = {peer for peer in full if (peer, protocol) not in by_peer}
            peer = wanted.choose(self._scores, connected, busy, self._parameters.best_peers)
            if peer is None:
                if wanted.has_someone(connected):
                    passed_over.append(key)
                else:
                    self._no_one_left(wanted, connected, effects, now)
                continue
            wanted.asked.add(peer)
            wanted.tries += 1
            batch = by_peer.setdefault((peer, protocol), [])
            if not batch:
                taken[peer] += 1
                if taken[peer] >= self._parameters.max_requests_of_peer:
                    full.add(peer)
            batch.append(wanted)
            if protocol != OBJECTS or len(batch) == self._parameters.batch:
                effects.append(self._ask(peer, protocol, by_peer.pop((peer, protocol)), now))
        for (peer, protocol), batch in by_peer.items():
            effects.append(self._ask(peer, protocol, batch, now))
        self._queue.extendleft(reversed(passed_over))
        self._is_held_up = bool(self._queue)
        if self._is_held_up:
            effects.append(SetTimer(_LOOK, after(now, self._parameters.round_pause)))
        return effects

    def _ask(self, peer: PeerId, protocol: str, wanted: Sequence[Wanted], now: Instant) -> Ask:
        # two kinds may be one to a peer, which is then asked for one object and sends one
        batch = RequestBatch.of(tuple(dict.fromkeys(one.request for one in wanted)))
        keys = tuple(one.key for one in wanted)
        data = RequestBatch.codec.encode(batch)
        self._next += 1
        self._open[peer] += 1
        tag = _Batch(self._next, peer, protocol, batch.id, keys, now)
        is_large = any(one.hint in OWN_PROTOCOL for one in wanted)
        timeout = self._parameters.large_timeout if is_large else self._parameters.timeout
        return Ask(Request(protocol, data, peer, timeout), tag)

    # ---- what came ----

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        """As Machine says: a peer has answered, or an object was judged."""
        tag, result = answer.tag, answer.result
        effects: list[Effect] = []
        if isinstance(tag, _Object):
            assert isinstance(result, Fetched), "of an object that was delivered"
            self._judged(tag, result.verdict, effects, now)
        else:
            assert isinstance(tag, _Batch)
            self._leave(tag.peer)
            took = max(0, answer.received - tag.begun)
            if isinstance(result, bytes):
                self._answered(tag, result, took, view, effects, now)
            else:
                self._silent(tag, result, took, view, effects, now)
        if self._is_held_up:
            effects += self._flush(now)
        return Step(effects=effects)

    def _leave(self, peer: PeerId) -> None:
        self._open[peer] -= 1
        if not self._open[peer]:
            del self._open[peer]

    def _silent(
        self, batch: _Batch, result: object, took: int, view: View, effects: list[Effect], now: Instant
    ) -> None:
        if isinstance(result, Failed) and result.reason == "no_protocol" and batch.protocol != OBJECTS:
            wanted = [self._wanted[key] for key in batch.keys if key in self._wanted]
            if wanted:
                effects.append(self._ask(batch.peer, OBJECTS, wanted, now))
            return
        self._scores.failed(batch.peer, took)
        self.counts["", result.reason if isinstance(result, Failed) else "no_answer"] += 1
        for key in batch.keys:
            self._again(key, view, effects, now)

    def _answered(self, batch: _Batch, data: bytes, took: int, view: View, effects: list[Effect], now: Instant) -> None:
        found, lie = _read(batch, data)
        if lie is None:
            self._scores.answered(batch.peer, len(data), took)
        else:
            self._scores.failed(batch.peer, took)
            effects.append(Penalise(batch.peer, lie))
            self.counts["", lie] += 1
        for key in batch.keys:
            blob = found.get(key[1])
            wanted = self._wanted.get(key)
            if wanted is None:
                continue
            if blob:
                effects.append(Deliver(wanted.hint, wanted.id, blob, batch.peer, _Object(key, batch.peer)))
            else:
                wanted.denied.add(batch.peer)
                self._again(key, view, effects, now)

    def _judged(self, tag: _Object, verdict: Verdict, effects: list[Effect], now: Instant) -> None:
        wanted = self._wanted.get(tag.key)
        if wanted is None:
            return
        is_rejected = verdict.judgement is Judgement.REJECT
        if verdict.reason in NO_LIE or (not is_rejected and verdict.reason not in NOT_THE_ONE):
            self._finish(wanted, Fetched(verdict), effects)
            return
        wanted.liars.add(tag.peer)
        if is_rejected and verdict.reason not in NOT_THE_ONE:
            wanted.bad += 1
            wanted.verdict = verdict
        if is_rejected:
            effects.append(Penalise(tag.peer, verdict.reason))
            self._scores.failed(tag.peer, 0)
        self._go_on(wanted, effects, now)

    def _again(self, key: Key, view: View, effects: list[Effect], now: Instant) -> None:
        """A peer did not send an object."""
        wanted = self._wanted.get(key)
        if wanted is None:
            return
        if self._has(view, key):  # it came by gossip meanwhile
            self._finish(wanted, Fetched(ACCEPT), effects)
            return
        self._go_on(wanted, effects, now)

    def _go_on(self, wanted: Wanted, effects: list[Effect], now: Instant) -> None:
        connected = set(self._scores.connected())
        if wanted.is_hopeless(self._parameters, connected):
            self._finish(wanted, _failure(wanted, connected), effects)
        elif wanted.has_someone(connected):
            effects += self._put_in_queue(wanted.key, now)
        else:
            self._no_one_left(wanted, connected, effects, now)

    def _no_one_left(self, wanted: Wanted, connected: set[PeerId], effects: list[Effect], now: Instant) -> None:
        is_over = wanted.round >= self._parameters.rounds or wanted.liars.issuperset(connected)
        if is_over:
            self._finish(wanted, _failure(wanted, connected), effects)
            return
        self._paused.append((after(now, self._parameters.round_pause), wanted.key))
        self._set_pause(effects)

    def _finish(self, wanted: Wanted, result: Result, effects: list[Effect]) -> None:
        del self._wanted[wanted.key]
        self.counts[wanted.hint, _reason(result)] += 1
        effects += [Reply(call, result) for call in wanted.calls]


def _read(batch: _Batch, data: bytes) -> tuple[dict[bytes, bytes], str | None]:
    """The objects of an answer by id, and what is wrong with it. Only what was asked for is taken from it."""
    try:
        answer = ResponseBatch.codec.decode(data)
    except CodecError:
        return {}, "malformed_answer"
    if answer.id != batch.id:
        return {}, "wrong_batch"
    asked = {key[1] for key in batch.keys}
    found: dict[bytes, bytes] = {}
    lie = None
    for one in answer.responses:
        if one.hash not in asked:
            lie = "object_not_asked_for"
        elif one.hash in found:
            lie = "object_repeated"
        else:
            found[one.hash] = one.data
    return found, lie


def _reason(result: Result) -> str:
    """What came of an object, as it is counted."""
    if isinstance(result, Fetched):
        return result.verdict.reason or result.verdict.judgement.value
    return result.reason if isinstance(result, Failed) else ""


def _failure(wanted: Wanted, connected: set[PeerId]) -> Result:
    """What is told of an object that did not come: that it is bad, if bad ones came, or that there is none."""
    if wanted.verdict is not None:
        return Fetched(wanted.verdict)
    if not connected and not wanted.tries:
        return Failed("no_peers", "No peer is connected.")
    if wanted.denied or wanted.liars:
        return Failed("not_found", f"None of {wanted.tries} peers that were asked has it.")
    return Failed("timeout", f"None of {wanted.tries} peers that were asked has answered.")
