"""Either side of a comparison: in turn, each answers all messages of the other.

    begin     what the one who asks says first
    feed      bytes of the other side; what is to be answered once its turn is over
    received  the keys that came, in their order

Keys that are received do not enter the set while it is compared. Nothing that a peer sends is kept beyond the bounds:
too many keys or messages, or a rule that is broken, raise WireError. Protocol 09a, section 6.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from node.p2p.wire.errors import LIMIT, MALFORMED, WireError
from protocol.codec.declare import CodecError
from protocol.types.ids import Hash32
from protocol.types.rangesync import (
    MAX_SAMPLE,
    MESSAGE,
    Done,
    EmptyRange,
    EmptySet,
    EndRound,
    Fingerprint,
    ItemBatch,
    Probe,
    RangeContents,
    Recent,
    Sample,
)

from .keys import NO_FINGERPRINT, KeySet, Range

SAMPLE_BYTES = 4
"""The last bytes of a key stand for it in a sample."""

Message = Done | EndRound | EmptySet | EmptyRange | Fingerprint | RangeContents | ItemBatch | Probe | Sample | Recent


@dataclass(frozen=True, slots=True)
class ReconcileParameters:
    """How a side goes about it."""

    send_range: int = 16
    """Keys of a range that are sent without another question; at least one."""
    chunk: int = 1024
    """Keys of one message."""
    sample: int = 200
    """Keys in short, by which the size of the difference is guessed."""
    max_difference: float | None = None
    """From which part of different keys on a range is sent whole; None: never by a guess."""
    recent_span: int = 0
    """Nanoseconds; what came within them is sent first."""
    max_keys: int = 8_000_000
    """That are taken of a peer in one run."""
    max_messages: int = 20_000_000
    max_bytes: int = 200_000_000


class Reconciler:
    """One side."""

    def __init__(self, keys: KeySet, parameters: ReconcileParameters) -> None:
        self._keys = keys
        self._of = parameters
        self._buffer = bytearray()
        self._answers: list[Message] = []
        self._batch: set[bytes] = set()
        """Keys that came since the last message about a range."""
        self._all_done = True
        self._messages = self._bytes = 0
        self.received: list[Hash32] = []
        self.is_over = False
        """Both sides have said all; nothing more may come."""

    def begin(self, x: bytes | None = None, y: bytes | None = None, since: int = 0) -> bytes:
        """What is said first, about a range or, without one, all keys. since: where the recent ones begin, nanoseconds
        since 1970."""
        if x is None or y is None:
            x = y = self._keys.whole
        self._begin(x, y, since if self._of.recent_span else None)
        self._answers.append(EndRound())
        return self._take()

    def feed(self, data: bytes) -> bytes:
        """Bytes of the other side; what is answered to whole turns among them. Raises WireError."""
        self._bytes += len(data)
        if self._bytes > self._of.max_bytes:
            raise WireError(f"The peer sends more than {self._of.max_bytes} bytes.", LIMIT)
        self._buffer += data
        for message in self._read():
            if self.is_over:
                raise WireError("The peer speaks after it has said all.", MALFORMED)
            self._messages += 1
            if self._messages > self._of.max_messages:
                raise WireError(f"The peer sends more than {self._of.max_messages} messages.", LIMIT)
            self._hear(message)
        return self._take()

    def ended(self) -> None:
        """The other side sends no more. Raises WireError where it has not said all."""
        if not self.is_over or self._buffer:
            raise WireError("The peer ended within its turn.", MALFORMED)

    # ---- messages ----

    def _read(self) -> Iterator[Message]:
        data, at = bytes(self._buffer), 0
        try:
            while at < len(data):
                try:
                    message, at = MESSAGE.read(data, at)
                except CodecError as error:
                    if error.reason == "truncated":
                        return  # more is to come
                    raise WireError(f"The peer sends what is no message: {error}", MALFORMED) from None
                yield message
        finally:
            del self._buffer[:at]

    def _take(self) -> bytes:
        answers, self._answers = self._answers, []
        return b"".join(MESSAGE.encode(one) for one in answers)

    def _hear(self, message: Message) -> None:
        if isinstance(message, Done):
            self.is_over = True
        elif isinstance(message, EndRound):
            self.is_over = self._all_done
            self._answers.append(Done() if self._all_done else EndRound())
            self._all_done = True
        elif isinstance(message, ItemBatch):
            if len(self.received) + len(message.keys) > self._of.max_keys:
                raise WireError(f"The peer sends more than {self._of.max_keys} keys.", LIMIT)
            self.received += [Hash32(key) for key in message.keys]
            self._batch.update(message.keys)
        else:
            if not self._answer(message):
                self._all_done = False
            self._batch = set()

    def _answer(self, message: Message) -> bool:
        """Answers what is said of a range; whether there was nothing to say."""
        found = self._range(message)
        if found is None:
            if isinstance(message, Probe):
                self._answers.append(Sample(None, None, NO_FINGERPRINT, 0, ()))
            return True
        x, y = found
        inside = self._keys.range(x, y)
        if isinstance(message, (EmptySet, EmptyRange, RangeContents)):
            self._send(self._keys.keys(inside, self._batch))
            return inside.count == 0
        if isinstance(message, Probe):
            return self._probed(message, x, y, inside)
        if isinstance(message, Recent):
            self._send([key for key in self._keys.recent if key not in self._batch])
            self._begin(x, y, None)
            return False
        assert isinstance(message, (Fingerprint, Sample)), "all others were dealt with"
        return self._compare(message, x, y, inside)

    def _range(self, message: Message) -> tuple[Hash32, Hash32] | None:
        """The range that a message is about; None: this side has no keys, and it is about all of them."""
        x = getattr(message, "x", None)
        y = getattr(message, "y", None)
        if (x is None) != (y is None):
            raise WireError("The peer names one end of a range alone.", MALFORMED)
        if x is not None and y is not None:
            return x, y
        if not isinstance(message, (EmptySet, Probe, Recent)):
            raise WireError(f"The peer sends {type(message).__name__} without a range.", MALFORMED)
        whole = self._keys.whole
        return None if whole is None else (whole, whole)

    def _probed(self, probe: Probe, x: Hash32, y: Hash32, inside: Range) -> bool:
        if probe.sample_size > MAX_SAMPLE:
            raise WireError(f"The peer asks for {probe.sample_size} keys, expected at most {MAX_SAMPLE}.", LIMIT)
        size = 0 if probe.fingerprint == inside.fingerprint else probe.sample_size
        self._answers.append(Sample(x, y, inside.fingerprint, inside.count, self._sample(inside, size)))
        return True

    def _compare(self, message: Fingerprint | Sample, x: Hash32, y: Hash32, inside: Range) -> bool:
        if (message.fingerprint, message.num_items) == (inside.fingerprint, inside.count):
            return True
        limit = self._of.max_difference
        if isinstance(message, Sample) and limit is not None:
            alike = similarity(self._sample(inside, self._of.sample), message.sample)
            if 1 - alike > limit:
                self._send(self._keys.keys(inside))
                self._answers.append(RangeContents(x, y, inside.count))
                return False
        if inside.count <= self._of.send_range:
            self._send_range(x, y, inside)
        else:
            first, middle, second = self._keys.split(inside, y)
            self._answers.append(Fingerprint(x, Hash32(middle), first.fingerprint, first.count))
            self._answers.append(Fingerprint(Hash32(middle), y, second.fingerprint, second.count))
        return False

    # ---- what is said ----

    def _begin(self, x: bytes | None, y: bytes | None, since: int | None) -> None:
        """since: recent keys are sent first; None: they are not."""
        if x is None or y is None:
            self._answers.append(EmptySet())
            return
        first, stop = Hash32(x), Hash32(y)
        inside = self._keys.range(first, stop)
        if inside.count < self._of.send_range:
            self._send_range(first, stop, inside)
        elif since is not None:
            self._send(self._keys.recent)
            self._answers.append(Recent(since))
        elif self._of.max_difference is not None:
            sample = self._sample(inside, self._of.sample)
            self._answers.append(Sample(first, stop, inside.fingerprint, inside.count, sample))
        else:
            self._answers.append(Fingerprint(first, stop, inside.fingerprint, inside.count))

    def _send_range(self, x: Hash32, y: Hash32, inside: Range) -> None:
        if inside.count == 0:
            self._answers.append(EmptyRange(x, y))
        else:
            self._send(self._keys.keys(inside))
            self._answers.append(RangeContents(x, y, inside.count))

    def _send(self, keys: Collection[bytes]) -> None:
        sent = list(keys)
        for at in range(0, len(sent), self._of.chunk):
            self._answers.append(ItemBatch(sent[at : at + self._of.chunk]))

    def _sample(self, inside: Range, size: int) -> list[int]:
        return [int.from_bytes(key[-SAMPLE_BYTES:], "big") for key in self._keys.first(inside, size)]


def similarity(first: Iterable[int], second: Iterable[int]) -> float:
    """How alike two samples are: their common keys, as a part of the longer one."""
    ours, theirs = Counter(first), Counter(second)
    longest = max(ours.total(), theirs.total())
    return (ours & theirs).total() / longest if longest else 1.0
