"""Transactions as the store and the interfaces hold them, and what executing them leaves: results, rewards, accounts.

On the wire a transaction is its signed bytes and nothing else (`protocol.types.templates` has what is in them); its id
is their hash. Protocol 03-encoding-and-types, section 4.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated

from protocol.codec.declare import Record, c8, c64, record, up_to
from protocol.crypto.hashing import hash32

from .ids import (
    EMPTY_ADDRESS,
    EMPTY_BLOCK_ID,
    NO_LAYER,
    Address,
    BlockId,
    LayerId,
    NodeId,
    TransactionId,
)

MAX_RAW_SIZE = 4096
"""Bytes of a raw transaction in a record; the virtual machine refuses more than 1024."""
MAX_MESSAGE_SIZE = 1024
MAX_ADDRESSES = 10
MAX_STATE_SIZE = 10_000


def transaction_id(raw: bytes) -> TransactionId:
    """The id of a transaction: the hash of its bytes, signatures included."""
    return TransactionId(hash32(raw))


@record
class RawTx(Record):
    """A transaction's bytes with their id."""

    id: TransactionId
    """`transaction_id` of the bytes."""
    raw: Annotated[bytes, up_to(MAX_RAW_SIZE)]
    """The signed bytes."""

    @classmethod
    def of(cls, raw: bytes) -> RawTx:
        """The record of the given bytes."""
        return cls(transaction_id(raw), raw)


@record
class LayerLimits(Record):
    """The layers between which a transaction may be applied; (0, 0) is always."""

    min: LayerId = NO_LAYER
    """The first layer."""
    max: LayerId = NO_LAYER
    """The last layer."""


@record
class TxHeader(Record):
    """What is known of a transaction once it was parsed."""

    principal: Address
    """The account that pays and whose nonce is used."""
    template: Address
    """The principal's, or the one to be spawned."""
    method: Annotated[int, c8]
    """`templates.METHOD_SPAWN`, METHOD_SPEND or METHOD_DRAIN_VAULT."""
    nonce: Annotated[int, c64]
    """Of the payload."""
    layer_limits: LayerLimits
    """Always (0, 0): no transaction of the network says otherwise."""
    max_gas: Annotated[int, c64]
    """Units of gas that are reserved."""
    gas_price: Annotated[int, c64]
    """Smidge for one unit of gas."""
    max_spend: Annotated[int, c64]
    """Smidge that leave the principal beside the fee."""


@record
class Transaction(Record):
    """A transaction with its header, where it could be parsed."""

    raw: RawTx
    """The bytes."""
    header: TxHeader | None = None
    """None: it was not parsed."""


class TransactionStatus(IntEnum):
    """How an applied transaction ended."""

    SUCCESS = 0
    FAILURE = 1
    """The fee was taken, nothing else happened."""


@record
class TransactionResult(Record):
    """What applying a transaction gave."""

    status: Annotated[int, c8]
    """A TransactionStatus; the network takes any number below 256."""
    message: Annotated[str, up_to(MAX_MESSAGE_SIZE)]
    """Why it failed."""
    gas: Annotated[int, c64]
    """Units of gas that were paid for."""
    fee: Annotated[int, c64]
    """Smidge."""
    block: BlockId = EMPTY_BLOCK_ID
    """The block with which it was applied."""
    layer: LayerId = NO_LAYER
    """The layer in which it was applied."""
    addresses: Annotated[Sequence[Address], up_to(MAX_ADDRESSES)] = ()
    """The principal, then the other accounts in the order in which they were changed first."""


@record
class TransactionWithResult(Record):
    """A transaction and what applying it gave."""

    transaction: Transaction
    """The transaction."""
    result: TransactionResult
    """What it gave."""


@record
class Reward(Record):
    """What one smesher earned for one coinbase in one layer."""

    layer: LayerId
    """The layer that was rewarded."""
    total_reward: Annotated[int, c64]
    """Smidge: subsidy and fees."""
    layer_reward: Annotated[int, c64]
    """Smidge of the subsidy alone."""
    coinbase: Address
    """Who received it."""
    smesher_id: NodeId
    """Who earned it."""


@record
class Account(Record):
    """The state of an account after a layer, as it goes into the state hash and into checkpoints."""

    layer: LayerId = NO_LAYER
    """The last layer that changed it."""
    address: Address = EMPTY_ADDRESS
    """Whose state it is."""
    next_nonce: Annotated[int, c64] = 0
    """One above the last one that was used."""
    balance: Annotated[int, c64] = 0
    """Smidge."""
    template: Address | None = None
    """None: nothing was spawned yet."""
    state: Annotated[bytes, up_to(MAX_STATE_SIZE)] = b""
    """The encoded state of the template."""
