"""Asking a peer, and answering one: a stream for each question. Protocol 09a, section 3."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from node.contract.demands import Failed, PeerRequest, Request, Result
from node.contract.messages import PeerId
from node.p2p import frames
from node.p2p.wire import yamux
from node.p2p.wire.errors import LIMIT, WireError
from protocol.types.fetch import MAX_DATA_SIZE, MAX_ERROR_SIZE

from .link import Link
from .parameters import Framing, HostParameters
from .streams import Deadline, Outgoing, Receiver

LARGEST_ANSWER = MAX_DATA_SIZE + MAX_ERROR_SIZE + 16
"""Bytes of an answer with everything around it."""


@dataclass(slots=True)
class Tally:
    """What questions of one protocol came to."""

    successes: int = 0
    failures: int = 0
    received: int = 0
    sent: int = 0
    """Bytes of questions and answers."""
    seconds: float = 0.0


class Answer(Receiver):
    """An answer that comes."""

    def __init__(self, stream: yamux.Stream, questions: Questions, asking: Asking) -> None:
        super().__init__(stream)
        self._questions = questions
        self._asking = asking
        self._pieces: list[bytes] = []
        self._size = 0

    def heard(self, data: bytes) -> None:
        """As Receiver says."""
        self._pieces.append(data)
        self._size += len(data)
        self._asking.deadline.moved()
        if self._size > LARGEST_ANSWER or not self._questions.takes(len(data)):
            self._asking.end(Failed(frames.TOO_LARGE, f"The answer has more than {self._size - 1} bytes."))

    def ended(self) -> None:
        """As Receiver says: it is whole."""
        super().ended()
        data = b"".join(self._pieces)
        if self._asking.framing is Framing.ENVELOPE:
            self._asking.end(frames.read_response(data), len(data))
        else:
            self._asking.end(data or Failed(frames.NO_ANSWER, "The peer closed without an answer."), len(data))

    def reset(self) -> None:
        """As Receiver says."""
        self._asking.end(Failed(frames.NO_ANSWER, "The peer has reset the stream."))

    @property
    def size(self) -> int:
        """Bytes that came so far."""
        return self._size


class Asking:
    """A question of this node."""

    def __init__(
        self, questions: Questions, link: Link, request: Request, framing: Framing, done: Callable[[Result], None]
    ) -> None:
        self._questions = questions
        self._link = link
        self._request = request
        self._done = done
        self.framing = framing
        self._began = link.loop.time()
        self._answer: Answer | None = None
        of = link.parameters
        idle_s = min(of.idle_s, request.timeout / 1e9)
        self.deadline = Deadline(link.loop, idle_s, of.hard_s, self._late)
        try:
            question = frames.request_frame(request.data)
            self._outgoing: Outgoing | None = Outgoing(
                link, (request.protocol,), question, self._agreed, lambda error: self.end(_refused(error))
            )
        except (WireError, ValueError) as error:
            self._outgoing = None
            link.loop.call_soon(self.end, Failed("refused", str(error)))

    def _agreed(self, stream: yamux.Stream, protocol: str) -> Receiver:
        self._answer = Answer(stream, self._questions, self)
        return self._answer

    def _late(self) -> None:
        self.end(Failed("timeout", f"The peer did not answer {self._request.protocol} in time."))

    def end(self, result: Result, size: int = 0) -> None:
        """What came of it; once."""
        self.deadline.cancel()
        done, self._done = self._done, lambda result: None
        received = 0 if self._answer is None else self._answer.size
        self._questions.let_go(received)
        tally = self._questions.tallies.setdefault((self._request.peer, self._request.protocol), Tally())
        if isinstance(result, Failed):
            if self._outgoing is not None:
                self._outgoing.stream.reset()
            tally.failures += 1
        else:
            tally.successes += 1
            tally.seconds += self._link.loop.time() - self._began
        tally.received += received
        tally.sent += len(self._request.data)
        self._answer = None
        done(result)


def _refused(error: WireError) -> Failed:
    return Failed("no_protocol", str(error))


class Asked(Receiver):
    """A question of a peer."""

    def __init__(self, stream: yamux.Stream, questions: Questions, link: Link, protocol: str) -> None:
        super().__init__(stream)
        self._questions = questions
        self._link = link
        self._protocol = protocol
        self._buffer = b""
        self._number: int | None = None
        self._is_read = False
        self._left = 0
        of = link.parameters
        self._deadline = Deadline(link.loop, of.idle_s, of.hard_s, self._late)

    def heard(self, data: bytes) -> None:
        """As Receiver says. What follows the question is passed over."""
        if self._is_read:
            return
        self._buffer += data
        found = frames.read_request(self._buffer)
        if found is None:
            return
        self._is_read, self._buffer = True, b""
        if isinstance(found, Failed):
            self._deadline.cancel()
            if found.reason == frames.TOO_LARGE:
                self._link.give_up(WireError(found.detail, LIMIT))
            else:
                self.stream.close()
            return
        assert self._link.peer is not None, "streams are those of peers"
        self._number = self._questions.ask(self, PeerRequest(self._protocol, found, self._link.peer))

    def answer(self, result: Result, framing: Framing) -> int:
        """What this node says; how many bytes that are."""
        self._number = None
        if framing is Framing.ENVELOPE:
            data = frames.response_frame(result)
        else:
            data = result if isinstance(result, bytes) else None
        if data is not None:
            self.stream.write(data)
        self.stream.close()
        self._left = self.stream.held
        if self._left:
            self._deadline.moved()
        else:
            self._deadline.cancel()
        return 0 if data is None else len(data)

    def ended(self) -> None:
        """As Receiver says: the question may be whole all the same."""
        if not self._is_read:
            self._deadline.cancel()
            self.stream.close()

    def reset(self) -> None:
        """As Receiver says."""
        self._deadline.cancel()
        if self._number is not None:
            self._questions.forget(self._number)

    def _late(self) -> None:
        if self.stream.held and self.stream.held < self._left:  # the peer reads, slowly
            self._left = self.stream.held
            of = self._link.parameters
            self._deadline = Deadline(self._link.loop, of.idle_s, of.hard_s, self._late)
            return
        if self._number is not None:
            self._questions.forget(self._number)
        if self.stream.held:
            self.stream.reset()
        else:
            self.stream.close()


class Questions:
    """All questions of a node and to it."""

    def __init__(self, parameters: HostParameters, asked: Callable[[int, PeerRequest], None]) -> None:
        """asked: a question of a peer, to be answered by `reply`."""
        self._of = parameters
        self._asked = asked
        self._open: dict[int, Asked] = {}
        self._next = 0
        self._arriving = 0
        """Bytes of answers that are not whole."""
        self.tallies: dict[tuple[PeerId, str], Tally] = {}
        """Of questions of this node."""
        self.served: dict[tuple[PeerId, str], Tally] = {}
        """Of questions to it."""
        self.in_flight: Counter[str] = Counter()
        """Questions to this node that are not answered, by protocol."""

    # ---- of this node ----

    def put(self, link: Link, request: Request, done: Callable[[Result], None]) -> Asking:
        """Ask a peer."""
        framing = self._of.protocols.get(request.protocol, Framing.ENVELOPE)
        return Asking(self, link, request, framing, done)

    def takes(self, size: int) -> bool:
        """Whether there is room for so many more bytes of answers."""
        self._arriving += size
        return self._arriving <= self._of.answers

    def let_go(self, size: int) -> None:
        """An answer is whole, or given up."""
        self._arriving -= size

    # ---- to this node ----

    def serve(self, link: Link, stream: yamux.Stream, protocol: str) -> Receiver:
        """A stream on which a peer asks."""
        return Asked(stream, self, link, protocol)

    def ask(self, asked: Asked, request: PeerRequest) -> int:
        """A question is whole; its number."""
        self._next += 1
        self._open[self._next] = asked
        self.in_flight[request.protocol] += 1
        self.served.setdefault((request.peer, request.protocol), Tally()).received += len(request.data)
        self._asked(self._next, request)
        return self._next

    def reply(self, number: int, result: Result) -> None:
        """What a question is answered with; in vain where nobody waits for it any more."""
        asked = self._open.get(number)
        if asked is None:
            return
        protocol, peer = asked._protocol, asked._link.peer
        self.forget(number)
        assert peer is not None, "streams are those of peers"
        tally = self.served.setdefault((peer, protocol), Tally())
        tally.sent += asked.answer(result, self._of.protocols[protocol])
        if isinstance(result, Failed):
            tally.failures += 1
        else:
            tally.successes += 1

    def forget(self, number: int) -> None:
        """Nobody waits for an answer."""
        asked = self._open.pop(number, None)
        if asked is not None:
            self.in_flight[asked._protocol] -= 1

    def left(self, peer: PeerId) -> None:
        """A peer is gone: its tallies go with it."""
        for tallies in (self.tallies, self.served):
            for key in [one for one in tallies if one[0] == peer]:
                del tallies[key]
