"""Records of the reference put into our rows.

| record | becomes |
|---|---|
| Malfeasance | a mark: who is malicious, without a proof that could be handed on |
| TransactionAddress | nothing: it follows from the result |
| Layer | what was applied in it: accounts and transactions in the order of execution, from block, results and rewards |
| the last layer that is processed | the last processed layer, whatever lies before it, and the last synced one |

Of what only we keep, hare's outputs stay unknown (they serve the few layers that can still be certified), and so does
what was asked of peers. Specified in protocol 09b-node-storage-libp2p, section 5, and 07-vm-and-transactions, section
4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Protocol

from node.activation.marriages import next_order
from node.activation.tables import (
    ATXS,
    BY_SMESHER,
    MARRIAGES,
    POET_BLOBS,
    POETS,
    POSTS,
    PoetFacts,
    StoredAtx,
    StoredMarriage,
    StoredPost,
    put_atx,
)
from node.beacon.machine import BEACONS
from node.certificates.tables import CERTIFICATES, StoredCertificate
from node.checkpoint.tables import RESTORED
from node.hare.tables import WEAK_COINS
from node.ledger import state
from node.ledger.state_hash import state_hash
from node.ledger.tables import ACCOUNTS, EARLIER, LAST_APPLIED, LAYERS, RESULTS, REWARDS, AppliedLayer
from node.malfeasance.tables import MARKS, PROOFS, Mark, StoredProof
from node.mempool import transactions
from node.mempool.tables import HELD, IN_BLOCK, IN_PROPOSAL
from node.mesh.tables import BALLOTS, BLOCKS, MESH_HASHES, PROCESSED, VALIDITY
from node.proposals.tables import put_active_set
from node.store.keys import ONLY
from node.store.stores import Stores
from node.store.view import Rows, Span, View
from node.sync.tables import LAST_LAYER
from protocol.types.activation import ActivationTxV1, EpochActiveSet
from protocol.types.activation_v2 import ActivationTxV2
from protocol.types.ballots import Ballot
from protocol.types.blocks import InnerBlock
from protocol.types.certificates import Certificate
from protocol.types.ids import (
    ADDRESS_SIZE,
    EMPTY_ATX_ID,
    EMPTY_BLOCK_ID,
    Address,
    AtxId,
    BallotId,
    Beacon,
    BlockId,
    EdSignature,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    PoetProofRef,
    ProposalId,
    TransactionId,
)
from protocol.types.poet import PoetProofMessage
from protocol.types.transactions import Account, RawTx, Reward, Transaction, TransactionResult, TxHeader

from . import records
from .errors import MigrationError
from .reading import put_each, read, require_id

AT_ONCE = 500
"""Records of one unit."""

_ID_OF: dict[int, Callable[[bytes], AtxId]] = {
    1: lambda data: ActivationTxV1.codec.decode(data).id(),
    2: lambda data: ActivationTxV2.codec.decode(data).id(),
}
"""By the version of an activation."""


class AnyTaker(Protocol):
    """Puts the records of one database."""

    def take(self, rows: Rows, given: Iterable[Any]) -> None:
        """Put records. Raises MigrationError, StoreFault."""

    def finish(self, rows: Rows) -> None:
        """Put what follows from all records together."""


def take_all(
    stores: Stores, taker: AnyTaker, given: Iterable[records.AnyRecord], at_once: int = AT_ONCE
) -> Iterator[int]:
    """Writes records in units of so many, and what follows from all of them last; how many were taken, after each unit.

    Raises MigrationError, StoreFault; the units before stay.
    """
    left = iter(given)
    taken = 0
    while batch := list(islice(left, at_once)):
        _unit(stores, partial(taker.take, given=batch))
        taken += len(batch)
        yield taken
    _unit(stores, taker.finish)


def _unit(stores: Stores, put: Callable[[Rows], None]) -> None:
    view = stores.view()
    try:
        rows = Rows(view)
        put(rows)
    finally:
        view.close()
    stores.write(rows)


class Taker:
    """Puts records of one database of the state, in the order of `records.STATE`. Mutable."""

    def __init__(self) -> None:
        """Nothing taken yet."""
        self._applied: LayerId | None = None
        self._processed: LayerId | None = None
        self._putters: dict[type[Any], Callable[[Rows, Any], None]] = {
            records.Recovery: self._recovery,
            records.Marriage: self._marriage,
            records.Identity: self._identity,
            records.Malfeasance: self._malfeasance,
            records.Poet: self._poet,
            records.Atx: self._atx,
            records.Post: self._post,
            records.ActiveSet: self._active_set,
            records.Beacon: self._beacon,
            records.Ballot: self._ballot,
            records.Block: self._block,
            records.Certificate: self._certificate,
            records.Transaction: self._transaction,
            records.TransactionAddress: lambda rows, record: None,
            records.BlockTransaction: self._block_transaction,
            records.ProposalTransaction: self._proposal_transaction,
            records.Account: self._account,
            records.Reward: self._reward,
            records.Layer: self._layer,
        }

    def take(self, rows: Rows, given: Iterable[Any]) -> None:
        """Put records. Raises MigrationError, StoreFault."""
        put_each(self._putters, rows, given)

    def finish(self, rows: Rows) -> None:
        """Put what follows from all records together."""
        if self._applied is not None:
            rows.put(LAST_APPLIED, ONLY, self._applied)
        if self._processed is not None:
            rows.put(PROCESSED, ONLY, self._processed)
            rows.put(LAST_LAYER, ONLY, self._processed)

    # ---- identities and activations ----

    def _recovery(self, rows: Rows, record: records.Recovery) -> None:
        rows.put(RESTORED, ONLY, LayerId(record.restore))
        self._applied = LayerId(record.restore - 1)

    def _marriage(self, rows: Rows, record: records.Marriage) -> None:
        row = StoredMarriage(
            record.id,
            next_order(rows),
            AtxId(record.marriage_atx),
            record.marriage_idx,
            NodeId(record.marriage_target),
            EdSignature(record.marriage_sig),
        )
        rows.put(MARRIAGES, NodeId(record.pubkey), row)

    def _identity(self, rows: Rows, record: records.Identity) -> None:
        rows.put(PROOFS, NodeId(record.pubkey), StoredProof(record.proof, record.received))

    def _malfeasance(self, rows: Rows, record: records.Malfeasance) -> None:
        rows.put(MARKS, NodeId(record.pubkey), Mark(record.received))

    def _poet(self, rows: Rows, record: records.Poet) -> None:
        ref = PoetProofRef(record.ref)
        message = read("poets", "poet", ref, PoetProofMessage.codec.decode, record.poet)
        require_id("poets", "ref", ref, message.ref())
        rows.put(POETS, ref, PoetFacts(message.proof.leaf_count, message.statement))
        rows.put(POET_BLOBS, ref, record.poet)

    def _atx(self, rows: Rows, record: records.Atx) -> None:
        id = AtxId(record.id)
        units = record.effective_num_units
        stored = StoredAtx(
            NodeId(record.pubkey),
            EpochId(record.epoch),
            record.sequence,
            Address(record.coinbase),
            units,
            None if record.commitment_atx is None else AtxId(record.commitment_atx),
            self._nonce(rows, record),
            record.base_tick_height,
            record.tick_count,
            units * record.tick_count if record.weight is None else record.weight,
            record.received,
            record.validity,
            record.version or 1,
            None if record.marriage_atx is None else AtxId(record.marriage_atx),
        )
        if stored.version not in _ID_OF:
            raise MigrationError(
                f"atx_blobs: column version of row {id.hex()} is {stored.version}, expected 1 or 2.", "unreadable"
            )
        if record.atx is not None:
            require_id("atxs", "id", id, read("atx_blobs", "atx", id, _ID_OF[stored.version], record.atx))
        put_atx(rows, id, stored, record.atx)

    def _nonce(self, view: View, record: records.Atx) -> int:
        """The nonce that counts: where a row names none, that of the identity's activation before."""
        if record.nonce is not None:
            return record.nonce
        before = next(view.find(BY_SMESHER, Span(within=(record.pubkey,), reverse=True)), None)
        stored = None if before is None else view.get(ATXS, before[1])
        if stored is None:
            raise MigrationError(
                f"atxs: activation {record.id.hex()} has no nonce, nor has one of its identity before it.",
                "inconsistent",
            )
        return stored.vrf_nonce

    def _post(self, rows: Rows, record: records.Post) -> None:
        id = AtxId(record.atxid)
        epoch = record.publish_epoch
        if epoch is None:
            atx = rows.get(ATXS, id)
            if atx is None:
                raise MigrationError(f"posts: activation {id.hex()} is not in atxs.", "inconsistent")
            epoch = atx.publish_epoch
        row = StoredPost(
            AtxId(record.prev_atxid or EMPTY_ATX_ID), record.prev_atx_index or 0, record.units, EpochId(epoch)
        )
        rows.put(POSTS, (id, NodeId(record.pubkey)), row)

    # ---- consensus ----

    def _active_set(self, rows: Rows, record: records.ActiveSet) -> None:
        active = read("activesets", "active_set", record.id, EpochActiveSet.codec.decode, record.active_set)
        put_active_set(rows, Hash32(record.id), active)

    def _beacon(self, rows: Rows, record: records.Beacon) -> None:
        rows.put(BEACONS, EpochId(record.epoch), Beacon(record.beacon))

    def _ballot(self, rows: Rows, record: records.Ballot) -> None:
        ballot = read("ballots", "ballot", record.id, Ballot.codec.decode, record.ballot)
        require_id("ballots", "id", record.id, ballot.id())
        rows.put(BALLOTS, BallotId(record.id), ballot)

    def _block(self, rows: Rows, record: records.Block) -> None:
        block = read("blocks", "block", record.id, InnerBlock.codec.decode, record.block)
        require_id("blocks", "id", record.id, block.id())
        rows.put(BLOCKS, BlockId(record.id), block)
        if record.validity is not None:
            rows.put(VALIDITY, BlockId(record.id), record.validity > 0)

    def _certificate(self, rows: Rows, record: records.Certificate) -> None:
        certificate = (
            None
            if record.cert is None
            else read("certificates", "cert", record.block, Certificate.codec.decode, record.cert)
        )
        key = LayerId(record.layer), BlockId(record.block)
        rows.put(CERTIFICATES, key, StoredCertificate(certificate, bool(record.valid)))

    # ---- the ledger ----

    def _transaction(self, rows: Rows, record: records.Transaction) -> None:
        id = TransactionId(record.id)
        raw = RawTx.of(record.tx)
        require_id("transactions", "id", id, raw.id)
        header = None
        if record.header is not None:
            header = read("transactions", "header", id, TxHeader.codec.decode, record.header)
        if record.result is not None:
            rows.put(RESULTS, id, read("transactions", "result", id, TransactionResult.codec.decode, record.result))
        transactions.put(rows, Transaction(raw, header), record.timestamp)

    def _block_transaction(self, rows: Rows, record: records.BlockTransaction) -> None:
        key = TransactionId(record.tid), IN_BLOCK, LayerId(record.layer), BlockId(record.bid)
        rows.put(HELD, key, None)

    def _proposal_transaction(self, rows: Rows, record: records.ProposalTransaction) -> None:
        key = TransactionId(record.tid), IN_PROPOSAL, LayerId(record.layer), ProposalId(record.pid)
        rows.put(HELD, key, None)

    def _account(self, rows: Rows, record: records.Account) -> None:
        template = None if record.template is None else Address(record.template)
        if template is not None and len(template) != ADDRESS_SIZE:  # the row would not say
            raise ValueError(f"template has {len(template)} bytes, expected {ADDRESS_SIZE}")
        layer, address = LayerId(record.layer_updated), Address(record.address)
        account = Account(layer, address, record.next_nonce, record.balance, template, record.state or b"")
        newest = rows.get(ACCOUNTS, address)
        if newest is None:
            rows.put(ACCOUNTS, address, account)
        elif newest.layer < layer:
            rows.put(EARLIER, (address, newest.layer), newest)
            rows.put(ACCOUNTS, address, account)
        else:
            rows.put(EARLIER, (address, layer), account)

    def _reward(self, rows: Rows, record: records.Reward) -> None:
        layer, smesher = LayerId(record.layer), NodeId(record.pubkey)
        reward = Reward(layer, record.total_reward, record.layer_reward, Address(record.coinbase), smesher)
        rows.put(REWARDS, (layer, smesher), reward)

    def _layer(self, rows: Rows, record: records.Layer) -> None:
        layer = LayerId(record.id)
        if record.weak_coin is not None:
            rows.put(WEAK_COINS, layer, bool(record.weak_coin))
        if record.aggregated_hash is not None:
            rows.put(MESH_HASHES, layer, Hash32(record.aggregated_hash))
        if record.processed:
            self._processed = layer
        if record.state_hash is None:
            return
        block = BlockId(record.applied_block or EMPTY_BLOCK_ID)
        row = _applied(rows, layer, block)
        if row.state_hash != record.state_hash:
            raise MigrationError(
                f"layers: layer {layer} has the state hash {record.state_hash.hex()}, but the rows of its block, "
                f"transactions, rewards and accounts come to {row.state_hash.hex()}.",
                "inconsistent",
            )
        rows.put(LAYERS, layer, row)
        self._applied = layer


def _applied(view: View, layer: LayerId, block: BlockId) -> AppliedLayer:
    """What was applied in a layer: accounts in the order of their first change, which is that of the results of its
    transactions, then coinbases ascending."""
    executed: list[TransactionId] = []
    touched: dict[Address, None] = {}
    if block != EMPTY_BLOCK_ID:
        stored = view.get(BLOCKS, block)
        if stored is None:
            raise MigrationError(
                f"layers: layer {layer} has block {block.hex()}, which is not in blocks.", "inconsistent"
            )
        for id in stored.tx_ids:
            result = view.get(RESULTS, id)
            if result is not None and result.layer == layer:
                executed.append(id)
                touched |= dict.fromkeys(result.addresses)
        touched |= dict.fromkeys(sorted(reward.coinbase for reward in state.rewards(view, layer)))
    changed = [account for account in (state.account(view, one, layer) for one in touched) if account is not None]
    changed = [account for account in changed if account.layer == layer]
    addresses = tuple(account.address for account in changed)
    return AppliedLayer(state_hash(layer, changed), block, addresses, tuple(executed))
