"""Records of the node as messages of `spacemesh.v1`. Specified in protocol 10a-api-messages, sections 2.1 and 2.4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from api.edge.rpc import Failed, Status
from api.services.node.addresses import addresses_of
from node.activation.tables import ATXS, POSTS, StoredAtx
from node.ledger.tables import LAYERS
from node.mempool.tables import TRANSACTIONS, StoredTransaction
from node.mesh.tables import MESH_HASHES, NO_MESH_HASH
from node.store.view import Span, View
from protocol.pb.spacemesh.v1 import global_state_types_pb2, tx_types_pb2, types_pb2
from protocol.types.ids import EMPTY_ATX_ID, EMPTY_BLOCK_ID, Address, AtxId, LayerId, TransactionId
from protocol.types.transactions import Account, Reward, TransactionResult, TransactionStatus, TxHeader

_STATUSES: Mapping[int, tx_types_pb2.TransactionResult.Status] = {
    TransactionStatus.SUCCESS: tx_types_pb2.TransactionResult.SUCCESS,
    TransactionStatus.FAILURE: tx_types_pb2.TransactionResult.FAILURE,
}


Standing = tuple[int, int]
"""The nonce to use next, and the balance in smidge."""


def layer_number(layer: int) -> types_pb2.LayerNumber:
    """A layer's number as a message."""
    return types_pb2.LayerNumber(number=layer)


class Convert:
    """Messages of one network."""

    def __init__(self, hrp: str) -> None:
        self.addresses = addresses_of(hrp)

    def account_id(self, address: bytes) -> types_pb2.AccountId:
        """An account by its address."""
        return types_pb2.AccountId(address=self.addresses.text(address))

    # ---- transactions ----

    def transaction(self, id: TransactionId, raw: bytes, header: TxHeader | None) -> types_pb2.Transaction:
        """A transaction; header: None where it was never valid, then it has nothing but its bytes."""
        if header is None:
            return types_pb2.Transaction(id=id, raw=raw)
        limits = header.layer_limits
        return types_pb2.Transaction(
            id=id,
            principal=self.account_id(header.principal),
            template=self.account_id(header.template),
            method=header.method,
            nonce=types_pb2.Nonce(counter=header.nonce),
            limits=types_pb2.LayerLimits(min=limits.min, max=limits.max),
            max_gas=header.max_gas,
            gas_price=header.gas_price,
            max_spend=header.max_spend,
            raw=raw,
        )

    def stored(self, id: TransactionId, found: StoredTransaction) -> types_pb2.Transaction:
        """A transaction as it is stored."""
        return self.transaction(id, found.raw, found.header)

    def result(
        self, id: TransactionId, found: StoredTransaction, result: TransactionResult
    ) -> tx_types_pb2.TransactionResult:
        """A transaction with what executing it gave."""
        return tx_types_pb2.TransactionResult(
            tx=self.stored(id, found),
            status=_STATUSES.get(result.status, tx_types_pb2.TransactionResult.INVALID),
            message=result.message,
            gas_consumed=result.gas,
            fee=result.fee,
            block=result.block,
            layer=result.layer,
            touched_addresses=[self.addresses.text(address) for address in result.addresses],
        )

    # ---- accounts ----

    def account(
        self, address: Address, current: Standing, projected: Standing | None
    ) -> global_state_types_pb2.Account:
        """An account as it stands; projected: behind everything that waits, None where nobody asks."""
        return global_state_types_pb2.Account(
            account_id=self.account_id(address),
            state_current=_state(current),
            state_projected=None if projected is None else _state(projected),
        )

    def version(self, account: Account) -> global_state_types_pb2.Account:
        """An account as it is, or was at a layer."""
        return self.account(account.address, (account.next_nonce, account.balance), None)

    def reward(self, reward: Reward) -> types_pb2.Reward:
        """What one smesher earned in one layer."""
        return types_pb2.Reward(
            layer=layer_number(reward.layer),
            total=types_pb2.Amount(value=reward.total_reward),
            layer_reward=types_pb2.Amount(value=reward.layer_reward),
            coinbase=self.account_id(reward.coinbase),
            smesher=types_pb2.SmesherId(id=reward.smesher_id),
        )

    # ---- activations and layers ----

    def activation(self, view: View, id: AtxId, atx: StoredAtx) -> types_pb2.Activation:
        """An activation; in place of a layer stands the epoch in which it was published."""
        previous = previous_of(view, id)
        return types_pb2.Activation(
            id=types_pb2.ActivationId(id=id),
            layer=layer_number(atx.publish_epoch),
            smesher_id=types_pb2.SmesherId(id=atx.smesher),
            coinbase=self.account_id(atx.coinbase),
            prev_atx=types_pb2.ActivationId(id=previous[0]),
            num_units=atx.units,
            sequence=atx.sequence,
            previous_atxs=[types_pb2.ActivationId(id=one) for one in previous],
        )

    def activation_of(self, view: View, id: AtxId) -> types_pb2.Activation | None:
        """The activation of an id; None where it is not stored."""
        found = view.get(ATXS, id)
        return None if found is None else self.activation(view, id, found)

    def layer(self, view: View, layer: LayerId, status: types_pb2.Layer.LayerStatus) -> types_pb2.Layer:
        """A layer with the block that is in the state, and the transactions that it has executed.

        Raises Failed (INTERNAL) where a transaction is missing.
        """
        applied = view.get(LAYERS, layer)
        if applied is None or applied.block == EMPTY_BLOCK_ID:
            return types_pb2.Layer(number=layer_number(layer), status=status)
        transactions = []
        for id in applied.transactions:
            found = view.get(TRANSACTIONS, id)
            if found is None:
                raise Failed(Status.INTERNAL, "error retrieving tx data")
            transactions.append(self.stored(id, found))
        return types_pb2.Layer(
            number=layer_number(layer),
            status=status,
            hash=view.get(MESH_HASHES, layer) or NO_MESH_HASH,
            blocks=[types_pb2.Block(id=applied.block, transactions=transactions)],
            root_state_hash=applied.state_hash,
        )


def previous_of(view: View, id: AtxId) -> Sequence[AtxId]:
    """The activations that the proofs of one follow, in the order in which it names them; zeros for none."""
    found = {post.previous_index: post.previous for _, post in view.scan(POSTS, Span(within=(id,)))}
    return [found.get(place, EMPTY_ATX_ID) for place in range(max(found, default=0) + 1)]


def _state(standing: Standing) -> global_state_types_pb2.AccountState:
    counter, balance = standing
    return global_state_types_pb2.AccountState(counter=counter, balance=types_pb2.Amount(value=balance))
