"""A connection from its first byte to many streams, whatever pieces the bytes come in, and whatever a peer sends."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.p2p.wire import multistream, noise, yamux
from node.p2p.wire.errors import LIMIT, MALFORMED, NOT_AUTHENTIC, UNSUPPORTED, WireError
from node.p2p.wire.key_file import PeerKey

FIRST, SECOND = PeerKey(bytes(32)), PeerKey(bytes(range(32)))


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data in pieces of about these sizes."""
    found, at = [], 0
    for size in sizes:
        found.append(data[at : at + size])
        at += size
    return [*found, data[at:]]


SIZES = st.lists(st.integers(1, 40), max_size=20)


# ---- multistream ----


@given(st.lists(st.sampled_from(["a/1", "b/1", "c/1"]), min_size=1, max_size=3, unique=True), SIZES)
def test_both_sides_agree_on_the_first_that_is_spoken(wanted: list[str], sizes: list[int]) -> None:
    spoken = {"b/1", "c/1"}
    dialler, listener = multistream.Dialler(wanted), multistream.Listener(spoken.__contains__)
    expected = next((one for one in wanted if one in spoken), None)
    failed = False
    for _ in range(2 * len(wanted) + 2):
        for speaker, hearer in ((dialler, listener), (listener, dialler)):
            for piece in pieces(speaker.take(), sizes):
                try:
                    hearer.feed(piece)
                except WireError as error:
                    assert error.reason == UNSUPPORTED
                    failed = True
    assert (dialler.agreed, failed) == (expected, expected is None)
    assert listener.agreed == expected


def test_what_follows_the_agreement_is_left_over() -> None:
    listener = multistream.Listener(lambda name: True)
    listener.feed(multistream.line(multistream.HEADER) + multistream.line("a/1") + b"data")
    assert (listener.agreed, listener.rest(), listener.rest()) == ("a/1", b"data", b"")


def test_a_peer_that_proposes_without_end_is_left() -> None:
    listener = multistream.Listener(lambda name: False)
    listener.feed(multistream.line(multistream.HEADER))
    with pytest.raises(WireError) as error:
        listener.feed(multistream.line("x") * (multistream.MOST_ATTEMPTS + 1))
    assert error.value.reason == LIMIT


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_disturb_a_negotiation_otherwise(data: bytes, dials: bool) -> None:
    side = multistream.Dialler(["a/1"]) if dials else multistream.Listener(lambda name: name == "a/1")
    try:
        side.feed(multistream.line(multistream.HEADER) + data)
    except WireError as error:
        assert error.reason


# ---- noise ----


def secured(
    prologue: bytes = b"net", other: bytes = b"net", sizes: list[int] | None = None, tail: bytes = b""
) -> tuple[noise.Securing, noise.Securing, bytes]:
    """Both sides after the handshake, and what came behind it."""
    dialler = noise.Securing(FIRST, prologue, is_initiator=True, expected=SECOND.id)
    listener = noise.Securing(SECOND, other, is_initiator=False)
    rest = b""
    for _ in range(3):
        for speaker, hearer in ((dialler, listener), (listener, dialler)):
            data = speaker.take()
            if speaker.records is not None and speaker is dialler and data:
                data += tail
            for piece in pieces(data, sizes or []):
                rest += hearer.feed(piece)
    return dialler, listener, rest


@given(SIZES)
def test_both_sides_know_each_other(sizes: list[int]) -> None:
    dialler, listener, rest = secured(sizes=sizes, tail=b"more")
    assert (dialler.peer, listener.peer) == (SECOND.id, FIRST.id)
    assert rest == b"more"
    assert dialler.records is not None and listener.records is not None
    data = bytes(1000) + b"end"
    sealed = dialler.records.seal(data) + dialler.records.seal(b"next")
    assert b"".join(listener.records.feed(piece) for piece in pieces(sealed, sizes)) == data + b"next"


def test_a_peer_of_another_network_is_told_so() -> None:
    with pytest.raises(WireError, match="another network") as error:
        secured(other=b"other")
    assert error.value.reason == NOT_AUTHENTIC


def test_another_peer_than_the_one_that_was_dialled_is_refused() -> None:
    dialler = noise.Securing(FIRST, b"net", is_initiator=True, expected=FIRST.id)
    listener = noise.Securing(SECOND, b"net", is_initiator=False)
    listener.feed(dialler.take())
    with pytest.raises(WireError, match="was dialled"):
        dialler.feed(listener.take())


@pytest.mark.parametrize("message", range(3))
def test_a_handshake_holds_only_as_it_was_sent(message: int) -> None:
    whole = _messages()[message]
    for at in range(2, len(whole), 7):
        sides = [
            noise.Securing(FIRST, b"net", is_initiator=True),
            noise.Securing(SECOND, b"net", is_initiator=False),
        ]
        with pytest.raises(WireError):
            for number in range(3):
                data = bytearray(sides[number % 2].take())
                if number == message:
                    data[at] ^= 1
                sides[1 - number % 2].feed(bytes(data))


def _messages() -> list[bytes]:
    sides = [noise.Securing(FIRST, b"net", is_initiator=True), noise.Securing(SECOND, b"net", is_initiator=False)]
    found = []
    for number in range(3):
        data = sides[number % 2].take()
        found.append(data)
        sides[1 - number % 2].feed(data)
    return found


def test_a_key_of_small_order_is_refused() -> None:
    listener = noise.Handshake(b"net", is_initiator=False)
    listener.read(bytes(32))
    with pytest.raises(WireError) as error:
        listener.write(b"")
    assert error.value.reason == NOT_AUTHENTIC


def test_a_record_that_was_changed_ends_the_connection() -> None:
    dialler, listener, _ = secured()
    assert dialler.records is not None and listener.records is not None
    sealed = bytearray(dialler.records.seal(b"data"))
    sealed[-1] ^= 1
    with pytest.raises(WireError) as error:
        listener.records.feed(bytes(sealed))
    assert error.value.reason == NOT_AUTHENTIC


def test_large_data_is_cut_into_records() -> None:
    dialler, listener, _ = secured()
    assert dialler.records is not None and listener.records is not None
    data = bytes(3 * noise.LARGEST_PLAIN + 1)
    sealed = dialler.records.seal(data)
    assert len(sealed) == len(data) + 4 * (2 + noise.TAG_BYTES)
    assert listener.records.feed(sealed) == data


# ---- yamux ----


@dataclass
class Ear:
    """Notes what comes on a stream, and takes as much of it as it is told to."""

    takes: bool = True
    stream: yamux.Stream | None = None
    heard: bytearray = field(default_factory=bytearray)
    end: str = ""
    rooms: int = 0

    def data(self, data: bytes) -> None:
        self.heard += data
        if self.takes and self.stream is not None:
            self.stream.taken(len(data))

    def ended(self) -> None:
        self.end = "ended"

    def reset(self) -> None:
        self.end = "reset"

    def room(self) -> None:
        self.rooms += 1


class Pair:
    """Two sessions that hear each other."""

    def __init__(self, bounds: yamux.Bounds | None = None, takes: bool = True) -> None:
        bounds = bounds or yamux.Bounds()
        self.ears: dict[int, Ear] = {}
        self.pongs: list[int] = []

        def accept(stream: yamux.Stream) -> Ear:
            self.ears[stream.id] = ear = Ear(takes, stream)
            return ear

        self.client = yamux.Session(is_client=True, accept=accept, ponged=self.pongs.append, bounds=bounds)
        self.server = yamux.Session(is_client=False, accept=accept, bounds=bounds)

    def open(self) -> tuple[yamux.Stream, Ear]:
        ear = Ear()
        ear.stream = self.client.open(ear)
        return ear.stream, ear

    def exchange(self, rng: random.Random | None = None) -> None:
        while True:
            silent = 0
            for speaker, hearer in ((self.client, self.server), (self.server, self.client)):
                data = speaker.take()
                silent += not data
                cut = rng.randrange(len(data) + 1) if rng else 0
                hearer.feed(data[:cut])
                hearer.feed(data[cut:])
            if silent == 2:
                return


@given(st.integers(0, 1 << 32))
def test_what_is_written_arrives_whatever_the_windows(seed: int) -> None:
    rng = random.Random(seed)
    pair = Pair()
    sent: dict[int, bytes] = {}
    streams = {}
    for _ in range(rng.randrange(1, 5)):
        stream, _ear = pair.open()
        streams[stream.id], sent[stream.id] = stream, b""
    for _ in range(rng.randrange(1, 12)):
        id = rng.choice(list(streams))
        data = rng.randbytes(rng.choice([0, 1, 100, 70_000, 300_000]))
        streams[id].write(data)
        sent[id] += data
        if rng.randrange(2):
            pair.exchange(rng)
    for stream in streams.values():
        stream.close()
    pair.exchange(rng)
    for id, data in sent.items():
        assert (bytes(pair.ears[id].heard), pair.ears[id].end) == (data, "ended")
        assert streams[id].held == 0
        other = pair.ears[id].stream
        assert other is not None
        other.close()
    pair.exchange(rng)
    assert (pair.client.streams, pair.server.streams) == (0, 0)


def test_who_takes_nothing_gets_no_more_than_a_window() -> None:
    pair = Pair(takes=False)
    stream, ear = pair.open()
    stream.write(bytes(1 << 20))
    pair.exchange()
    heard = pair.ears[stream.id]
    assert (len(heard.heard), stream.held) == (yamux.INITIAL_WINDOW, (1 << 20) - yamux.INITIAL_WINDOW)
    assert heard.stream is not None
    while stream.held:
        heard.stream.taken(yamux.INITIAL_WINDOW)
        pair.exchange()
    assert (len(heard.heard), ear.rooms) == (1 << 20, 1)


def test_more_than_the_window_ends_the_session() -> None:
    pair = Pair(takes=False)
    stream, _ = pair.open()
    pair.exchange()
    stream.send_window += 1
    stream.write(bytes(yamux.INITIAL_WINDOW + 1))
    with pytest.raises(WireError) as error:
        pair.server.feed(pair.client.take())
    assert error.value.reason == LIMIT


def test_a_stream_that_is_reset_is_gone_on_both_sides() -> None:
    pair = Pair()
    stream, _ = pair.open()
    stream.write(b"data")
    pair.exchange()
    stream.reset()
    stream.write(b"in vain")
    pair.exchange()
    assert pair.ears[stream.id].end == "reset"
    assert (pair.client.streams, pair.server.streams) == (0, 0)


def test_streams_beyond_the_bound_are_reset() -> None:
    pair = Pair(yamux.Bounds(streams=2))
    greedy = yamux.Session(is_client=True, accept=lambda stream: Ear())
    ears = [Ear() for _ in range(3)]
    for ear in ears:
        greedy.open(ear)
    pair.server.feed(greedy.take())
    greedy.feed(pair.server.take())
    assert [ear.end for ear in ears] == ["", "", "reset"]
    assert (pair.server.streams, pair.server.refused) == (2, 1)
    with pytest.raises(WireError) as error:
        for _ in range(3):
            pair.open()
    assert error.value.reason == LIMIT


def test_pings_are_answered_and_counted() -> None:
    pair = Pair(yamux.Bounds(pings=2))
    assert [pair.client.ping() for _ in range(3)] == [0, 1, None]
    pair.exchange()
    assert pair.pongs == [0, 1]
    assert pair.client.ping() == 2


def test_after_a_farewell_no_stream_is_opened() -> None:
    pair = Pair()
    stream, _ = pair.open()
    pair.exchange()
    pair.server.leave()
    pair.exchange()
    stream.write(b"still here")
    pair.exchange()
    assert bytes(pair.ears[stream.id].heard) == b"still here"
    with pytest.raises(WireError) as error:
        pair.open()
    assert error.value.reason == yamux.GOAWAY


def test_streams_end_with_their_connection() -> None:
    pair = Pair()
    stream, ear = pair.open()
    pair.exchange()
    pair.client.end()
    assert (ear.end, pair.client.streams) == ("reset", 0)
    stream.write(b"in vain")
    assert pair.client.take() == b""


@given(st.binary(max_size=400))
def test_no_bytes_disturb_a_session_otherwise(data: bytes) -> None:
    pair = Pair(yamux.Bounds(streams=8))
    try:
        for at in range(0, len(data), 7):
            pair.server.feed(data[at : at + 7])
    except WireError as error:
        assert error.reason in (MALFORMED, LIMIT, yamux.GOAWAY)
    assert pair.server.streams <= 8
