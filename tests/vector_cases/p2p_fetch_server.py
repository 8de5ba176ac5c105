"""Vectors of what is answered to peers: p2p/fetch_server.json.

The inventory is put into the tables as it is: objects there are not checked when they are served, and the recorded ones
are no valid records. The certificates of layers other than 30 are what the exchanges about them say. Orders that no
client looks at differ: ids of an epoch, ballots of a layer, malicious identities, objects of an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from node.activation.columns import AtxRow
from node.activation.tables import ATXS, BLOBS, COLUMNS, POET_BLOBS, POETS, PoetFacts
from node.certificates.tables import CERTIFICATES, StoredCertificate
from node.contract.demands import PeerRequest
from node.contract.effects import Reply, SetTimer
from node.contract.inputs import Asked, Timer
from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.fetch.blobs import Blobs, stored
from node.fetch.parameters import ServerParameters
from node.fetch.protocols import read_epoch, read_layer, read_malicious
from node.fetch.server import FetchServer
from node.malfeasance.tables import PROOFS, StoredProof
from node.mempool.tables import TRANSACTIONS, StoredTransaction
from node.mesh.tables import BALLOTS, BLOCKS, MESH_HASHES
from node.p2p.frames import read_request, response_frame
from node.store.keys import fixed
from node.store.memory import MemoryBackend
from node.store.store import Store
from node.store.table import RAW, Schema, Table
from node.store.view import Rows, View
from protocol.types.ballots import Ballot
from protocol.types.blocks import InnerBlock
from protocol.types.certificates import Certificate
from protocol.types.fetch import Hint, ResponseBatch, ServerResponse
from protocol.types.ids import EMPTY_ADDRESS, EMPTY_BLOCK_ID, AtxId, BlockId, LayerId, NodeId
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

PEER = PeerId(b"peer")
NOW = Instant(1_700_000_000_000_000_000)
ACTIVE_SETS: Table[bytes, bytes] = Table(b"zz", "active sets of the vectors", fixed(32), RAW)
SETS = Blobs(lambda view, id: view.has(ACTIVE_SETS, id), lambda view, id: view.get(ACTIVE_SETS, id))
NO_PROPOSALS = Blobs(lambda view, id: False, lambda view, id: None)
TABLES = (
    *(ATXS, BLOBS, COLUMNS, POETS, POET_BLOBS, PROOFS, TRANSACTIONS, BALLOTS, BLOCKS, MESH_HASHES, CERTIFICATES),
    ACTIVE_SETS,
)
INVENTORY = ("ATXDB", "POETDB", "TXDB", "activeset", "ballotDB", "blocksDB", "malfeasance", "mesh_hash")
ANY_ORDER: dict[str, Callable[[bytes], Sequence[bytes]]] = {
    "ax/1": read_epoch,
    "ml/1": read_malicious,
    "ld/1": read_layer,
}
KINDS = ("success", "success_empty", "error", "closed_without_answer")


@vectors("p2p/fetch_server.json", variants=False)
def cases(document: Any, context: Context) -> Iterator[Case]:
    yield from unknown_sections(document, known=("inventory", "exchanges"))
    store = _store(document["inventory"])
    for position, exchange in enumerate(document["exchanges"]):
        name = f"exchanges[{position}] {exchange['protocol']} {exchange['name']}"
        yield Case(name, lambda exchange=exchange: check_exchange(exchange, exchange, store, is_streaming=True))
        buffered = {**exchange, **exchange.get("buffered_server", {})}
        yield Case(f"{name}, buffered", lambda one=buffered: check_exchange(one, one, store, is_streaming=False))


# ---- what the server has ----


def _store(inventory: Any) -> Store:
    store = Store(Schema("state", 1, TABLES), MemoryBackend())
    rows = Rows(store.view())
    for name, entries in inventory.items():
        if name.startswith("epoch"):
            _put_epoch(rows, int(name.removeprefix("epoch"), 16), entries)
        elif name.startswith("cert"):
            for block, data in entries:
                _put_certificate(rows, int(name.removeprefix("cert")), bytes.fromhex(block), bytes.fromhex(data))
        elif name not in INVENTORY:
            raise NotUnderstood(f"the inventory has {name!r}")
        else:
            for id, data in entries:
                _put(rows, name, id, data)
    rows.put(CERTIFICATES, (LayerId(31), EMPTY_BLOCK_ID), StoredCertificate(None, True))
    rows.put(CERTIFICATES, (LayerId(32), EMPTY_BLOCK_ID), StoredCertificate(Certificate(EMPTY_BLOCK_ID, ()), True))
    store.write(rows)
    return store


def _put_epoch(rows: Rows, epoch: int, ids: list[str]) -> None:
    for id in map(bytes.fromhex, ids):
        row = AtxRow(AtxId(id), NodeId(bytes(32)), EMPTY_ADDRESS, 1, 0, 1, 0, 1)
        rows.put(COLUMNS, (epoch + 1, AtxId(id)), row)


def _put_certificate(rows: Rows, layer: int, block: bytes, data: bytes) -> None:
    certificate = Certificate.codec.decode(data)
    rows.put(CERTIFICATES, (LayerId(layer), BlockId(block)), StoredCertificate(certificate, True))


def _put(rows: Rows, name: str, shown: Any, shown_data: str) -> None:
    if name == "mesh_hash":
        rows.put(MESH_HASHES, LayerId(shown), bytes.fromhex(shown_data))  # type: ignore[arg-type]
        return
    id, data = bytes.fromhex(shown), bytes.fromhex(shown_data)
    match name:
        case Hint.ATX:
            if data:  # the others were restored by a checkpoint
                rows.put(BLOBS, AtxId(id), data)
        case Hint.POET:
            rows.put(POETS, id, PoetFacts(1, bytes(32)))  # type: ignore[arg-type]
            rows.put(POET_BLOBS, id, data)  # type: ignore[arg-type]
        case Hint.TX:
            rows.put(TRANSACTIONS, id, StoredTransaction(data, None, 1))  # type: ignore[arg-type]
        case Hint.ACTIVE_SET:
            rows.put(ACTIVE_SETS, id, data)
        case Hint.BALLOT:
            rows.put(BALLOTS, id, Ballot.codec.decode(data))  # type: ignore[arg-type]
        case Hint.BLOCK:
            rows.put(BLOCKS, BlockId(id), InnerBlock.codec.decode(data))
        case Hint.MALFEASANCE:
            rows.put(PROOFS, NodeId(id), StoredProof(data, 1))


# ---- what is answered ----


def check_exchange(exchange: Any, expected: Any, store: Store, *, is_streaming: bool) -> None:
    found = answer(exchange["protocol"], bytes.fromhex(exchange["request"]), store, is_streaming=is_streaming)
    kind = expected["kind"]
    if kind not in KINDS:
        raise NotUnderstood(f"an exchange of the kind {kind!r}")
    if kind == "closed_without_answer":
        assert found is None, found
        return
    assert found is not None, "closed without an answer"
    response = ServerResponse.codec.decode(found)
    if kind == "error":
        assert response.error and not response.data
        assert "response" not in expected or found.hex() == expected["response"], found.hex()
        return
    wanted = bytes.fromhex(expected["response"])
    assert in_order(exchange["protocol"], found) == in_order(exchange["protocol"], wanted), found.hex()
    assert len(found) == len(wanted)
    if exchange["protocol"] not in (*ANY_ORDER, "hs/1"):
        assert found == wanted, found.hex()


def in_order(protocol: str, frame: bytes) -> Any:
    """An answer without what is not looked at: the order of lists."""
    response = ServerResponse.codec.decode(frame)
    assert not response.error
    if protocol in ANY_ORDER:
        return sorted(ANY_ORDER[protocol](response.data))
    if protocol == "hs/1":
        batch = ResponseBatch.codec.decode(response.data)
        return batch.id, sorted((one.hash, one.data) for one in batch.responses)
    return response.data


def answer(protocol: str, frame: bytes, store: Store, *, is_streaming: bool) -> bytes | None:
    """The frame that a server sends back."""
    data = read_request(frame)
    assert isinstance(data, bytes), data
    sources = {**stored(), Hint.ACTIVE_SET: SETS, Hint.PROPOSAL: NO_PROPOSALS}
    server = FetchServer(ServerParameters(is_streaming=is_streaming, ids_of_step=100), sources)
    view: View = store.view()
    now = NOW
    step = server.serve(Asked(7, PeerRequest(protocol, data, PEER), now), view, now)
    for _ in range(10):
        replies = [one for one in step.effects if isinstance(one, Reply)]
        if replies:
            assert [one.id for one in replies] == [7] and server.waiting == 0
            return response_frame(replies[0].result)
        (timer,) = [one for one in step.effects if isinstance(one, SetTimer)]
        now = timer.due
        step = server.timer(Timer(timer.key, timer.due), view, now)
    raise AssertionError("no answer")
