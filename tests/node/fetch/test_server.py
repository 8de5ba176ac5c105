"""What the recorded exchanges do not show of the server: queues and rates, long lists, limits of size, odd requests."""

from __future__ import annotations

import random

import pytest

from node.activation.columns import AtxRow
from node.activation.tables import COLUMNS
from node.certificates.tables import CERTIFICATES, StoredCertificate
from node.contract.demands import Failed, PeerRequest, Result
from node.contract.effects import Penalise, Reply, SetTimer
from node.contract.inputs import Asked, Timer
from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.fetch import protocols
from node.fetch.blobs import Blobs, stored
from node.fetch.parameters import LIMITS, ServerLimit, ServerParameters
from node.fetch.server import FetchServer
from node.mempool.handler import BLOCK_TRANSACTIONS
from node.mempool.tables import TRANSACTIONS, StoredTransaction
from node.mesh.tables import MESH_HASHES
from node.schema import STATE
from node.store.memory import MemoryBackend
from node.store.store import Store
from node.store.view import Rows
from protocol.numbers.durations import MILLISECOND, MINUTE, SECOND
from protocol.types.certificates import Certificate
from protocol.types.fetch import (
    Hint,
    MeshHashRequest,
    RequestBatch,
    RequestMessage,
    ResponseBatch,
)
from protocol.types.ids import (
    EMPTY_ADDRESS,
    EMPTY_BLOCK_ID,
    AtxId,
    BlockId,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    TransactionId,
)

ALICE, BOB, CAROL = (PeerId(name) for name in (b"alice", b"bob", b"carol"))
START = Instant(1_700_000_000 * SECOND)
LAST_EPOCH = EpochId(2**32 - 1)


class Server:
    """One on an empty store, with a clock that stands until told."""

    def __init__(self, parameters: ServerParameters | None = None) -> None:
        nothing = Blobs(lambda view, id: False, lambda view, id: None)
        self.store = Store(STATE, MemoryBackend())
        self.machine = FetchServer(
            parameters or ServerParameters(), {**stored(), Hint.ACTIVE_SET: nothing, Hint.PROPOSAL: nothing}
        )
        self.now = START
        self.replies: dict[int, Result] = {}
        self.blamed: list[PeerId] = []
        self.timers: dict[object, Instant] = {}
        self.asked = 0
        self.steps = 0

    def put(self, rows: Rows) -> None:
        self.store.write(rows)

    def rows(self) -> Rows:
        return Rows(self.store.view())

    def ask(self, protocol: str, data: bytes, peer: PeerId = ALICE) -> int:
        self.asked += 1
        asked = Asked(self.asked, PeerRequest(protocol, data, peer), self.now)
        self._follow(self.machine.serve(asked, self.store.view(), self.now).effects)
        return self.asked

    def answer(self, protocol: str, data: bytes, peer: PeerId = ALICE) -> Result:
        """What comes within a second."""
        number = self.ask(protocol, data, peer)
        self.run(SECOND)
        return self.replies[number]

    def run(self, duration: int) -> None:
        until = self.now + duration
        while self.timers and min(self.timers.values()) <= until:
            key, due = min(self.timers.items(), key=lambda one: one[1])
            del self.timers[key]
            self.now = Instant(max(self.now, due))
            self.steps += 1
            self._follow(self.machine.timer(Timer(key, due), self.store.view(), self.now).effects)  # type: ignore[arg-type]
        self.now = Instant(until)

    def _follow(self, effects: object) -> None:
        for one in effects:  # type: ignore[attr-defined]
            match one:
                case Reply(id, result):
                    assert id not in self.replies
                    self.replies[id] = result
                case SetTimer(key, due):
                    self.timers[key] = due
                case Penalise(peer, _):
                    self.blamed.append(peer)
                case other:
                    raise AssertionError(other)


def reasons(server: Server) -> list[str]:
    return [one.reason if isinstance(one, Failed) else "" for one in server.replies.values()]


def limited(protocol: str, queue: int, rate: int, **others: int) -> ServerParameters:
    return ServerParameters({**LIMITS, protocol: ServerLimit(queue, rate)}, **others)


def batch(*requests: tuple[str, bytes]) -> bytes:
    messages = [RequestMessage(hint, Hash32(id)) for hint, id in requests]
    return RequestBatch.codec.encode(RequestBatch.of(messages))


# ---- limits ----


def test_the_rate_is_kept_and_requests_wait_for_it() -> None:
    server = Server(limited(protocols.LAYER_BALLOTS, 100, 5, share_of_peer=1))
    times = []
    for _ in range(12):
        server.ask(protocols.LAYER_BALLOTS, protocols.layer_request(LayerId(7)))
    for step in range(100):
        times.append((step * 20, len(server.replies)))
        server.run(20 * MILLISECOND)
    answered = [next(at for at, count in times if count >= number) for number in range(1, 13)]
    assert answered == [0, 0, 0, 0, 0, 200, 400, 600, 800, 1000, 1200, 1400]  # as measured at the network's own server
    assert server.machine.waiting == 0


def test_a_burst_is_allowed_again_after_a_pause() -> None:
    server = Server(limited(protocols.LAYER_BALLOTS, 100, 5, share_of_peer=1))
    for _ in range(2):
        for _ in range(5):
            server.ask(protocols.LAYER_BALLOTS, protocols.layer_request(LayerId(7)))
        server.run(SECOND)
    assert len(server.replies) == 10


def test_a_full_queue_turns_requests_away() -> None:
    server = Server(limited(protocols.LAYER_BALLOTS, 3, 1, share_of_peer=1))
    for number in range(10):
        server.ask(protocols.LAYER_BALLOTS, protocols.layer_request(LayerId(7)), PeerId(b"peer %d" % number))
    assert reasons(server) == [""] + ["busy"] * 6  # one answered, three wait
    assert server.machine.waiting == 3
    assert server.machine.counts == {("ld/1", "answered"): 1, ("ld/1", "busy"): 6}
    server.run(10 * SECOND)
    assert reasons(server).count("") == 4 and server.machine.waiting == 0 and not server.timers


def test_one_peer_takes_a_share_of_a_queue_only() -> None:
    server = Server(limited(protocols.LAYER_BALLOTS, 8, 1, share_of_peer=4))
    for _ in range(1000):
        server.ask(protocols.LAYER_BALLOTS, protocols.layer_request(LayerId(7)))
    assert server.machine.waiting == 2
    number = server.ask(protocols.LAYER_BALLOTS, protocols.layer_request(LayerId(7)), BOB)
    server.run(5 * SECOND)
    assert isinstance(server.replies[number], bytes)


def test_protocols_do_not_wait_for_each_other() -> None:
    server = Server(limited(protocols.LAYER_BALLOTS, 100, 1))
    for _ in range(10):
        server.ask(protocols.LAYER_BALLOTS, protocols.layer_request(LayerId(7)))
    number = server.ask(protocols.OPINIONS, protocols.opinion_request(LayerId(7)))
    assert isinstance(server.replies[number], bytes)


def test_a_request_that_is_too_long_is_not_even_read() -> None:
    server = Server()
    assert server.answer(protocols.OBJECTS, bytes(10_241)) == Failed("too_large")
    assert server.blamed == [ALICE] and server.machine.waiting == 0
    assert server.machine.counts["hs/1", "too_large"] == 1
    assert server.answer(protocols.MALICIOUS_IDS, bytes(10_240)) == b"\0"


# ---- lists ----


def with_atxs(server: Server, epoch: int, count: int) -> list[bytes]:
    rows = server.rows()
    ids = sorted(number.to_bytes(32, "little") for number in range(count))
    for id in ids:
        rows.put(COLUMNS, (epoch + 1, AtxId(id)), AtxRow(AtxId(id), NodeId(bytes(32)), EMPTY_ADDRESS, 1, 0, 1, 0, 1))
    server.put(rows)
    return ids


def test_a_long_list_is_read_piece_by_piece_once_for_all_who_wait() -> None:
    server = Server(ServerParameters(ids_of_step=10))
    ids = with_atxs(server, 5, 95)
    with_atxs(server, 6, 3)
    request = protocols.epoch_request(EpochId(5))
    first, second = server.ask(protocols.EPOCH_ATXS, request), server.ask(protocols.EPOCH_ATXS, request, BOB)
    assert server.replies == {}
    server.run(2 * SECOND)
    assert 10 <= server.steps <= 12  # ten pieces, and the turn of the second one
    for number in (first, second):
        answer = server.replies[number]
        assert isinstance(answer, bytes) and list(protocols.read_epoch(answer)) == ids


def test_a_list_is_sent_again_as_it_was_for_a_while() -> None:
    server = Server(ServerParameters(list_age=MINUTE))
    ids = with_atxs(server, 5, 3)
    request = protocols.epoch_request(EpochId(5))
    assert len(protocols.read_epoch(server.answer(protocols.EPOCH_ATXS, request))) == 3  # type: ignore[arg-type]
    ids = with_atxs(server, 5, 4)
    assert len(protocols.read_epoch(server.answer(protocols.EPOCH_ATXS, request))) == 3  # type: ignore[arg-type]
    server.run(MINUTE)
    assert list(protocols.read_epoch(server.answer(protocols.EPOCH_ATXS, request))) == ids  # type: ignore[arg-type]


def test_only_so_many_lists_are_kept() -> None:
    server = Server(ServerParameters(lists_kept=2))
    for epoch in range(20):
        assert server.answer(protocols.EPOCH_ATXS, protocols.epoch_request(EpochId(epoch))) == b"\0"
    assert len(server.machine._lists._lists) <= 2


def test_the_last_epoch_that_can_be_named_has_no_activations() -> None:
    assert Server().answer(protocols.EPOCH_ATXS, protocols.epoch_request(LAST_EPOCH)) == b"\0"


# ---- answers ----


def test_an_answer_with_objects_is_bounded_and_has_one_at_least() -> None:
    server = Server(ServerParameters(max_answer_bytes=1000))
    rows = server.rows()
    ids = [TransactionId(bytes([number]) * 32) for number in range(1, 6)]
    for id in ids:
        rows.put(TRANSACTIONS, id, StoredTransaction(bytes(600 if id != ids[4] else 5000), None, 1))
    server.put(rows)

    def sizes(*wanted: bytes) -> list[int]:
        answer = server.answer(protocols.OBJECTS, batch(*[(Hint.TX, id) for id in wanted]))
        assert isinstance(answer, bytes)
        return [len(one.data) for one in ResponseBatch.codec.decode(answer).responses]

    assert sizes(*ids) == [600]
    assert sizes(ids[4], ids[0]) == [5000]


def test_kinds_of_our_own_are_no_kinds_of_the_network() -> None:
    answer = Server().answer(protocols.OBJECTS, batch((BLOCK_TRANSACTIONS, bytes(32))))
    assert isinstance(answer, Failed) and answer.reason == "refused"


@pytest.mark.parametrize("hint", [Hint.BALLOT, Hint.BLOCK])
def test_a_short_id_with_more_than_zeros_behind_it_is_unknown(hint: str) -> None:
    answer = Server().answer(protocols.OBJECTS, batch((hint, b"\1" * 32)))
    assert isinstance(answer, bytes) and not ResponseBatch.codec.decode(answer).responses


def test_there_is_no_opinion_on_layer_zero() -> None:
    answer = Server().answer(protocols.OPINIONS, protocols.opinion_request(LayerId(0)))
    assert isinstance(answer, Failed) and answer.reason == "refused"


def test_a_count_of_hashes_does_not_wrap_around() -> None:
    server = Server()
    request = MeshHashRequest(LayerId(0), LayerId(2**32 - 1), 1)
    answer = server.answer(protocols.MESH_HASHES, MeshHashRequest.codec.encode(request))
    assert isinstance(answer, Failed) and answer.reason == "refused"


def test_hashes_of_a_wide_range_are_served() -> None:
    server = Server()
    rows = server.rows()
    for layer in (3, 2**31, 2**32 - 1):
        rows.put(MESH_HASHES, LayerId(layer), Hash32(layer.to_bytes(32, "big")))
    server.put(rows)
    request = MeshHashRequest(LayerId(3), LayerId(2**32 - 1), 2**31 - 3)
    answer = server.answer(protocols.MESH_HASHES, MeshHashRequest.codec.encode(request))
    assert isinstance(answer, Failed)  # 2^32 - 3 is named, too
    request = MeshHashRequest(LayerId(3), LayerId(2**31), 2**31 - 3)
    answer = server.answer(protocols.MESH_HASHES, MeshHashRequest.codec.encode(request))
    assert isinstance(answer, bytes)
    assert [int.from_bytes(one, "big") for one in protocols.read_mesh_hashes(request, answer)] == [3, 2**31]


def test_a_certificate_that_is_no_longer_valid_is_no_opinion_and_can_still_be_had() -> None:
    server = Server()
    block = BlockId(b"\1" * 20)
    rows = server.rows()
    rows.put(CERTIFICATES, (LayerId(7), block), StoredCertificate(Certificate(block, ()), False))
    server.put(rows)
    opinion = server.answer(protocols.OPINIONS, protocols.opinion_request(LayerId(7)))
    assert isinstance(opinion, bytes) and protocols.read_opinion(opinion).certified is None
    answer = server.answer(protocols.OPINIONS, protocols.certificate_request(LayerId(7), block))
    assert answer == Certificate.codec.encode(Certificate(block, ()))
    assert server.answer(protocols.OPINIONS, protocols.certificate_request(LayerId(7), EMPTY_BLOCK_ID)) == b""


def test_no_request_of_any_bytes_raises() -> None:
    server = Server(ServerParameters(share_of_peer=1))
    source = random.Random(5)
    for number in range(1500):
        protocol = source.choice(protocols.PROTOCOLS)
        data = source.randbytes(source.choice((0, 1, 2, 5, 9, 33, 60)))
        server.ask(protocol, data, PeerId(b"peer %d" % number))
        server.run(source.choice((0, 20)) * MILLISECOND)
    server.run(MINUTE)
    assert len(server.replies) == 1500 and server.machine.waiting == 0
