"""Streams: the rows that are there, then what comes, nothing left out, nothing twice. Protocol 10-api, section 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.edge.rpc import Status
from api.services.node.events import (
    AtxAdded,
    Event,
    LayerStatus,
    LayerUpdated,
    RewardPaid,
    SmesherConvicted,
    TransactionAdded,
    TransactionDone,
)
from api.services.node.v2.package import V2ALPHA1, V2BETA1
from node.activation.tables import StoredAtx, Validity, put_atx
from node.hare.tables import WEAK_COINS
from node.ledger.tables import ACCOUNTS, LAST_APPLIED, LAYERS, RESULTS, REWARDS, AppliedLayer
from node.malfeasance.tables import PROOFS, StoredProof
from node.mempool import transactions
from node.mempool.tables import PENDING, UNAPPLIED
from node.mesh.tables import MESH_HASHES, PROCESSED
from node.store.keys import ONLY
from protocol.types.address import to_text
from protocol.types.ids import (
    EMPTY_ATX_ID,
    EMPTY_BLOCK_ID,
    Address,
    AtxId,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    TransactionId,
)
from protocol.types.transactions import Account, RawTx, Reward, Transaction, TransactionResult, TxHeader
from tests.support.imported_chain import ImportedChain

from .served import Node

STREAMS = (
    "ActivationStreamService.Stream",
    "LayerStreamService.Stream",
    "MalfeasanceStreamService.Stream",
    "RewardStreamService.Stream",
    "TransactionStreamService.Stream",
)
ALICE, BOB = Address(bytes(4) + b"\x01" * 20), Address(bytes(4) + b"\x02" * 20)
ONE, TWO = NodeId(b"\x01" * 32), NodeId(b"\x02" * 32)
TX = V2ALPHA1.TransactionResponse.DESCRIPTOR.fields_by_name["tx_state"].enum_type.values_by_name


def reward(layer: int, smesher: NodeId = ONE, coinbase: Address = ALICE) -> Reward:
    return Reward(LayerId(layer), 10, 9, coinbase, smesher)


def paid(node: Node, *rewards: Reward) -> None:
    for one in rewards:
        node.backend.write(lambda rows, one=one: rows.put(REWARDS, (one.layer, one.smesher_id), one))


def told(node: Node, *events: Event) -> Callable[[], None]:
    return lambda: node.backend.bus.publish(events)


def layers_of(heard: list[Any]) -> list[Any]:
    return [getattr(one, "layer", one) for one in heard]


# ---- what all have in common ----


@pytest.mark.parametrize("package", (V2ALPHA1, V2BETA1), ids=lambda package: package.name)
@pytest.mark.parametrize("name", STREAMS)
def test_headers_go_at_once_to_those_who_watch(empty: Node, name: str, package: Any) -> None:
    assert empty.stream(name, package=package, watch=True)[:1] == ["headers"]


@pytest.mark.parametrize("name", sorted(set(STREAMS) - {"LayerStreamService.Stream"}))
def test_without_watching_a_stream_ends_with_its_rows(empty: Node, name: str) -> None:
    assert empty.stream(name) == ["end"]


def test_rows_come_first_then_what_is_told(empty: Node) -> None:
    paid(empty, reward(5), reward(6))
    heard = empty.stream("RewardStreamService.Stream", [told(empty, RewardPaid(reward(7)))], watch=True)
    assert layers_of(heard) == ["headers", 5, 6, 7]


def test_what_was_told_while_rows_were_read_comes_once(empty: Node) -> None:
    """The rows of layer 6 are written and told after the subscription, before the snapshot."""
    paid(empty, reward(5))
    subscribe = empty.backend.bus.subscribe

    def late(*kinds: Any, size: int) -> Any:
        subscription = subscribe(*kinds, size=size)
        paid(empty, reward(6))
        for event in (RewardPaid(reward(6)), RewardPaid(reward(7))):
            subscription.put(event)
        return subscription

    empty.backend.bus.subscribe = late  # type: ignore[method-assign]
    assert layers_of(empty.stream("RewardStreamService.Stream", watch=True)) == ["headers", 5, 6, 7]


def test_a_client_that_is_too_slow_loses_its_stream(empty: Node) -> None:
    many = [RewardPaid(reward(layer)) for layer in range(1, 1030)]
    heard = empty.stream("RewardStreamService.Stream", [told(empty, *many)], watch=True)
    assert heard[-1] == (Status.CANCELLED, "buffer overflow")
    assert layers_of(heard[1:-1]) == list(range(1, 1025)), "what came in time is delivered"


def test_a_client_that_leaves_is_told_of_no_more(empty: Node) -> None:
    left: list[object] = []
    leave = empty.backend.bus.leave

    def leaving(subscription: Any) -> None:
        left.append(subscription)
        leave(subscription)

    empty.backend.bus.leave = leaving  # type: ignore[method-assign]
    empty.stream("RewardStreamService.Stream", watch=True)
    assert len(left) == 1


# ---- each of them ----


def test_rewards_of_one_coinbase_or_smesher(empty: Node) -> None:
    rewards = [reward(layer, smesher, whose) for layer in (5, 6, 7) for smesher, whose in ((ONE, ALICE), (TWO, BOB))]
    paid(empty, *rewards)
    events = [told(empty, *(RewardPaid(reward(8, smesher, whose)) for smesher, whose in ((ONE, ALICE), (TWO, BOB))))]
    hrp = empty.backend.config.main.network_hrp
    for filter in ({"coinbase": to_text(BOB, hrp)}, {"smesher": TWO}):
        heard = empty.stream("RewardStreamService.Stream", events, watch=True, start_layer=6, **filter)
        assert [(one.layer, one.smesher) for one in heard[1:]] == [(6, TWO), (7, TWO), (8, TWO)]
    until = empty.stream("RewardStreamService.Stream", events, watch=True, end_layer=5)
    assert layers_of(until) == ["headers", 5, 5]
    assert empty.stream("RewardStreamService.Stream", events, watch=True, smesher=b"short") == ["headers"]
    bad = empty.backend.config.main.network_hrp
    assert empty.refused("RewardStreamService.Stream", coinbase=bad)[0] == Status.INVALID_ARGUMENT


def test_layers_with_how_far_they_are(empty: Node) -> None:
    genesis = empty.backend.parameters.time.effective_genesis
    first = LayerId(genesis + 1)

    def put(rows: Any) -> None:
        rows.put(MESH_HASHES, LayerId(genesis), Hash32(b"\x05" * 32))
        rows.put(PROCESSED, ONLY, LayerId(genesis))
        rows.put(LAYERS, first, AppliedLayer(Hash32(b"\x06" * 32), EMPTY_BLOCK_ID, (), ()))
        rows.put(LAST_APPLIED, ONLY, first)
        rows.put(WEAK_COINS, LayerId(first + 1), True)

    empty.backend.write(put)
    status = V2ALPHA1.Layer.DESCRIPTOR.enum_types_by_name["LayerStatus"].values_by_name
    unspecified, applied, verified = (
        status[f"LAYER_STATUS_{name}"].number for name in ("UNSPECIFIED", "APPLIED", "VERIFIED")
    )
    rows = [(genesis, verified), (first, applied), (first + 1, unspecified)]
    heard = empty.stream("LayerStreamService.Stream")
    assert [(one.number, one.status) for one in heard[:-1]] == rows and heard[-1] == "end"
    assert heard[0].consensus_hash == "05" * 5 and heard[1].state_hash == b"\x06" * 32
    assert not heard[1].HasField("block")
    events = [LayerUpdated(LayerId(first + 1), one) for one in LayerStatus] + [LayerUpdated(first, LayerStatus.APPLIED)]
    heard = empty.stream(
        "LayerStreamService.Stream", [told(empty, *events)], start_layer=first + 1, end_layer=first + 9, watch=True
    )
    assert [one.status for one in heard[1:]] == [unspecified, unspecified, applied, verified, verified]


def test_activations_that_are_stored(empty: Node) -> None:
    def atx(smesher: NodeId, epoch: int) -> StoredAtx:
        return StoredAtx(
            smesher, EpochId(epoch), 0, ALICE, 4, None, 1, 100, 10, 40, received=1, validity=Validity.VALID, version=2
        )

    def put(*given: tuple[bytes, StoredAtx]) -> None:
        empty.backend.write(lambda rows: [put_atx(rows, AtxId(id * 32), one, None) for id, one in given])

    put((b"\x01", atx(ONE, 3)), (b"\x02", atx(TWO, 2)))
    put_later = [(b"\x03", atx(ONE, 4)), (b"\x04", atx(TWO, 4))]

    def later() -> None:
        put(*put_later)
        told(empty, *(AtxAdded(AtxId(id * 32)) for id, _ in put_later), AtxAdded(EMPTY_ATX_ID))()

    name = "ActivationStreamService.Stream"
    assert [one.id[:1] for one in empty.stream(name)[:-1]] == [b"\x02", b"\x01"]
    heard = empty.stream(name, [later], watch=True)
    assert [one.id[:1] for one in heard[1:]] == [b"\x02", b"\x01", b"\x03", b"\x04"]
    assert heard[1].height == 110 and heard[1].weight == 40
    mine = empty.stream(name, [told(empty, AtxAdded(AtxId(b"\x03" * 32)), AtxAdded(AtxId(b"\x04" * 32)))],
                        watch=True, smesher_id=[ONE], start_epoch=4)  # fmt: skip
    assert [one.id[:1] for one in mine[1:]] == [b"\x03", b"\x03"], "the row, then what is told of it once more"


def test_whoever_is_convicted(empty: Node, proof_of_two_activations: tuple[NodeId, bytes]) -> None:
    smesher, proof = proof_of_two_activations

    def convicted() -> None:
        empty.backend.write(lambda rows: rows.put(PROOFS, smesher, StoredProof(proof, 1)))
        empty.backend.write(lambda rows: rows.put(PROOFS, TWO, StoredProof(b"not a proof", 1)))
        told(empty, SmesherConvicted(smesher, proof), SmesherConvicted(TWO, b"not a proof"))()

    name = "MalfeasanceStreamService.Stream"
    heard = empty.stream(name, [convicted], watch=True)
    assert [one.smesher for one in heard[1:]] == [smesher], "what cannot be read is left out"
    assert (heard[1].type, heard[1].domain, heard[1].properties["smesher_id"]) == (1, 0, smesher.hex())
    assert empty.stream(name) == [heard[1], "end"]
    assert empty.stream(name, smesher_id=[TWO]) == ["end"] == empty.stream(name, smesher_id=[b"x"])


# ---- transactions: ours alone ----


@pytest.fixture
def sent(empty: Node, chain: ImportedChain) -> tuple[Transaction, TransactionResult]:
    """A transaction of the chain, which waits."""
    row = next(row for row in chain.document["transactions"] if row["result_encoded"])
    raw = RawTx(TransactionId(bytes.fromhex(row["id"])), bytes.fromhex(row["encoded"]))
    header = TxHeader.codec.decode(bytes.fromhex(row["header_encoded"]))
    transaction = Transaction(raw, header)

    def put(rows: Any) -> None:
        transactions.put(rows, transaction, 5)
        rows.put(ACCOUNTS, header.principal, Account(LayerId(0), header.principal, header.nonce, 1 << 40))

    empty.backend.write(put)
    return transaction, TransactionResult.codec.decode(bytes.fromhex(row["result_encoded"]))


def applied(node: Node, transaction: Transaction, result: TransactionResult) -> None:
    header = transaction.header
    assert header is not None

    def put(rows: Any) -> None:
        rows.put(RESULTS, transaction.raw.id, result)
        rows.delete(UNAPPLIED, transaction.raw.id)
        rows.delete(PENDING, (header.principal, header.nonce, 5, transaction.raw.id))
        rows.put(LAYERS, result.layer, AppliedLayer(Hash32(bytes(32)), result.block, (), (transaction.raw.id,)))

    node.backend.write(put)


def test_a_transaction_from_its_arrival_to_its_result(empty: Node, sent: tuple[Transaction, TransactionResult]) -> None:
    transaction, result = sent
    id, header = transaction.raw.id, transaction.header
    assert header is not None

    def done() -> None:
        applied(empty, transaction, result)
        told(empty, TransactionDone(id, result))()

    hrp = empty.backend.config.main.network_hrp
    name = "TransactionStreamService.Stream"
    new = told(empty, TransactionAdded(id, header.principal))
    filters: list[dict[str, Any]] = [{}, {"txid": [id]}, {"principal": to_text(header.principal, hrp)}]
    heard = empty.stream(name, [new], watch=True)
    assert [one.tx_state for one in heard[1:]] == [TX["TRANSACTION_STATE_MEMPOOL"].number] * 2
    heard = empty.stream(name, [done], watch=True, **filters[1])
    assert [one.tx_state for one in heard[1:]] == [
        TX["TRANSACTION_STATE_MEMPOOL"].number,
        TX["TRANSACTION_STATE_PROCESSED"].number,
    ]
    assert not heard[1].HasField("tx_result") and heard[2].tx_result.layer == result.layer
    for filter in filters:
        (row, end) = empty.stream(name, **filter)
        assert (row, end) == (heard[2], "end")
    others: list[dict[str, Any]] = [{"txid": [bytes(32)]}, {"txid": [b""]}, {"principal": to_text(BOB, hrp)},
                                    {"start_layer": result.layer + 1}, {"end_layer": result.layer - 1}]  # fmt: skip
    for filter in others:
        assert empty.stream(name, [told(empty, TransactionDone(id, result))], watch=True, **filter) == ["headers"]
    assert empty.refused(name, principal="nobody")[0] == Status.INVALID_ARGUMENT
