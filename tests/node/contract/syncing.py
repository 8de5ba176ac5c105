"""Stand-ins for sync and fetch: a layer's objects, asked of one peer after another until all are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from node.contract.checks import SignatureCheck
from node.contract.demands import Failed, Fetch, Fetched, Request
from node.contract.effects import Ask, Deliver, Effect, Emit, Penalise, Reply, SetTimer
from node.contract.inputs import Answer, Asked, Tick, Timer
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.messages import Message, PeerId
from node.contract.ports import Signer
from node.contract.steps import Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import ACCEPT, reject
from node.store.keys import compound, fixed, u32
from node.store.table import RAW, Table
from node.store.view import Rows, Span, View
from protocol.codec.declare import CodecError, Record, c32, record
from protocol.crypto.hashing import hash20
from protocol.crypto.signing import Domain
from protocol.numbers.durations import MILLISECOND, SECOND
from protocol.types.fetch import Hint, LayerData, RequestBatch, RequestMessage, ResponseBatch
from protocol.types.ids import BallotId, EdSignature, Hash32, LayerId, NodeId, as_hash32

LAYER_DATA = "ld/1"
OBJECTS = "hs/1"

BALLOTS: Table[tuple[int, BallotId], bytes] = Table(b"ba", "ballots", compound(u32, fixed(20)), RAW)


@record
class Ballot(Record):
    """A ballot, as far as the walk needs it."""

    layer: LayerId
    smesher: NodeId
    signature: EdSignature


def ballot(signer: Signer, layer: int) -> bytes:
    """A signed ballot."""
    message = c32.encode(layer)
    return Ballot.codec.encode(Ballot(LayerId(layer), signer.identity, signer.sign(Domain.BALLOT, message)))


def ballot_id(data: bytes) -> BallotId:
    """Its id."""
    return BallotId(hash20(data))


class Ballots(Machine):
    """Judges ballots that were fetched."""

    name = "ballots"
    hints = (Hint.BALLOT,)

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        try:
            decoded = Ballot.codec.decode(message.data)
        except CodecError as error:
            return Judged(reject("malformed", str(error)))
        if message.expected != as_hash32(ballot_id(message.data)):
            return Judged(reject("incorrect_hash"))
        check = SignatureCheck(Domain.BALLOT, decoded.smesher, c32.encode(decoded.layer), decoded.signature)
        return Needs(signatures=(check,), memo=decoded)

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        decoded = ticket.memo
        assert isinstance(decoded, Ballot)
        if not found.all_hold:
            return Judged(reject("signature"))
        rows = Rows(view)
        rows.put(BALLOTS, (decoded.layer, ballot_id(ticket.message.data)), ticket.message.data)
        return Judged(ACCEPT, rows)


@dataclass(frozen=True, slots=True)
class LayerSynced:
    """An event."""

    layer: LayerId
    ballots: int


@dataclass(slots=True)
class _Layer:
    peers: list[PeerId]
    """Not asked yet, the next one last."""
    missing: set[BallotId] = field(default_factory=set)


class Sync(Machine):
    """Gets the ballots of each layer that begins: the list of one peer, the ballots, then of the next peer."""

    name = "sync"
    ticks = True
    watches = (BALLOTS,)

    def __init__(self, peers: Callable[[], list[PeerId]]) -> None:
        self._peers = peers
        self._layers: dict[LayerId, _Layer] = {}
        self.seen: list[tuple[int, BallotId]] = []

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        self._layers[tick.layer] = _Layer(self._peers()[::-1])
        return Step(effects=self._ask_next(tick.layer))

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        if isinstance(answer.asked, Request):
            return Step(effects=self._list(answer, answer.asked, view))
        layer, id, _ = answer.tag  # type: ignore[misc]
        state = self._layers[layer]
        if isinstance(answer.result, Fetched) and answer.result.verdict.is_accepted:
            state.missing.discard(id)
            if not state.missing:
                del self._layers[layer]
                count = len(list(view.keys(BALLOTS, Span(within=(layer,)))))
                return Step(effects=[Emit(LayerSynced(layer, count))])
            return Step()
        # the one who named it does not have it: whoever comes next may
        return Step(effects=self._ask_next(layer))

    def changed(self, change: object, view: View, now: Instant) -> Step:
        self.seen += change.keys  # type: ignore[attr-defined]
        return Step()

    def _list(self, answer: Answer, asked: Request, view: View) -> list[Effect]:
        layer, peer = answer.tag  # type: ignore[misc]
        if isinstance(answer.result, Failed):
            return self._ask_next(layer)
        try:
            assert isinstance(answer.result, bytes)
            listed = LayerData.codec.decode(answer.result).ballots
        except CodecError as error:
            return [Penalise(asked.peer, str(error)), *self._ask_next(layer)]
        state = self._layers[layer]
        state.missing = {id for id in listed if not view.has(BALLOTS, (layer, id))}
        return [Ask(Fetch(Hint.BALLOT, as_hash32(id), (peer,)), (layer, id, peer)) for id in sorted(state.missing)]

    def _ask_next(self, layer: LayerId) -> list[Effect]:
        state = self._layers[layer]
        if not state.peers:
            return []
        peer = state.peers.pop()
        request = Request(LAYER_DATA, c32.encode(layer), peer, 10 * SECOND)
        return [Ask(request, (layer, peer))]


class Fetching(Machine):
    """Serves fetches: gathers them for 50 ms, asks one peer for all, hands over what comes, and asks another for what
    was refused."""

    name = "fetch"
    serves = (Fetch,)
    protocols = (OBJECTS,)

    def __init__(self, peers: Callable[[], list[PeerId]]) -> None:
        self._peers = peers
        self._wanted: dict[int, tuple[Fetch, list[PeerId]]] = {}
        """By number of the call, with the peers that can still be asked."""
        self._waiting: list[int] = []

    def serve(self, asked: Asked, view: View, now: Instant) -> Step:
        if not isinstance(asked.demand, Fetch):
            return self._serve_peer(asked, view)
        rest = [peer for peer in self._peers() if peer not in asked.demand.peers]
        self._wanted[asked.id] = asked.demand, [*asked.demand.peers, *rest]
        self._waiting.append(asked.id)
        return Step(effects=[SetTimer("gather", after(now, 50 * MILLISECOND))])

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        calls, self._waiting = self._waiting, []
        by_peer: dict[PeerId, list[int]] = {}
        effects: list[Effect] = []
        for call in calls:
            _, peers = self._wanted[call]
            if peers:
                by_peer.setdefault(peers.pop(0), []).append(call)
            else:
                del self._wanted[call]
                effects.append(Reply(call, Failed("not_found")))
        for peer, asked in by_peer.items():
            messages = [RequestMessage(self._wanted[call][0].hint, Hash32(self._wanted[call][0].id)) for call in asked]
            data = RequestBatch.codec.encode(RequestBatch.of(messages))
            effects.append(Ask(Request(OBJECTS, data, peer, 25 * SECOND), (peer, tuple(asked))))
        return Step(effects=effects)

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        if isinstance(answer.asked, Deliver):
            return self._judged(answer.tag, answer.result, now)  # type: ignore[arg-type]
        peer, calls = answer.tag  # type: ignore[misc]
        found: dict[bytes, bytes] = {}
        if isinstance(answer.result, bytes):
            found = {one.hash: one.data for one in ResponseBatch.codec.decode(answer.result).responses}
        effects: list[Effect] = []
        for call in calls:
            wanted = self._wanted[call][0]
            if wanted.id in found:
                effects.append(Deliver(wanted.hint, wanted.id, found[wanted.id], peer, call))
            else:
                self._waiting.append(call)
        if self._waiting:
            effects.append(SetTimer("gather", now))
        return Step(effects=effects)

    def _judged(self, call: int, result: Fetched, now: Instant) -> Step:
        if result.verdict.is_accepted:
            del self._wanted[call]
            return Step(effects=[Reply(call, result)])
        self._waiting.append(call)
        return Step(effects=[SetTimer("gather", now)])

    def _serve_peer(self, asked: Asked, view: View) -> Step:
        return Step(effects=[Reply(asked.id, b"nothing of " + asked.demand.data)])  # type: ignore[union-attr]
