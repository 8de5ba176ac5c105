"""Transactions as the store and the interfaces hold them, and what executing them leaves: results, rewards, accounts.

On the wire a transaction is its signed bytes and nothing else (`protocol.types.templates` has what is in them); its id
is their hash. Protocol 03-encoding-and-types, section 4.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from protocol.codec.declare import byte_string, c8, c32, c64, option, struct, text, vector
from protocol.crypto.hashing import hash32

from .ids import (
    ADDRESS,
    BLOCK_ID,
    EMPTY_ADDRESS,
    EMPTY_BLOCK_ID,
    NO_LAYER,
    NODE_ID,
    TRANSACTION_ID,
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


@dataclass(frozen=True, slots=True)
class RawTx:
    """A transaction's bytes with their id."""

    id: TransactionId
    raw: bytes

    codec = struct(id=TRANSACTION_ID, raw=byte_string(MAX_RAW_SIZE))

    @classmethod
    def of(cls, raw: bytes) -> RawTx:
        """The record of the given bytes."""
        return cls(transaction_id(raw), raw)


@dataclass(frozen=True, slots=True)
class LayerLimits:
    """The layers between which a transaction may be applied; (0, 0) is always."""

    min: LayerId = NO_LAYER
    max: LayerId = NO_LAYER

    codec = struct(min=c32, max=c32)


@dataclass(frozen=True, slots=True)
class TxHeader:
    """What is known of a transaction once it was parsed."""

    principal: Address
    """The account that pays and whose nonce is used."""
    template: Address
    method: int
    nonce: int
    layer_limits: LayerLimits
    max_gas: int
    gas_price: int
    """Smidge for one unit of gas."""
    max_spend: int
    """Smidge that leave the principal beside the fee."""

    codec = struct(
        principal=ADDRESS,
        template=ADDRESS,
        method=c8,
        nonce=c64,
        layer_limits=LayerLimits.codec,
        max_gas=c64,
        gas_price=c64,
        max_spend=c64,
    )


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction with its header, where it could be parsed."""

    raw: RawTx
    header: TxHeader | None = None

    codec = struct(raw=RawTx.codec, header=option(TxHeader.codec))


class TransactionStatus(IntEnum):
    """How an applied transaction ended."""

    SUCCESS = 0
    FAILURE = 1
    """The fee was taken, nothing else happened."""


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """What applying a transaction gave."""

    status: int
    """A TransactionStatus; the network takes any number below 256."""
    message: str
    """Why it failed."""
    gas: int
    fee: int
    """Smidge."""
    block: BlockId = EMPTY_BLOCK_ID
    layer: LayerId = NO_LAYER
    addresses: Sequence[Address] = ()
    """The principal, then the other accounts in the order in which they were changed first."""

    codec = struct(
        status=c8,
        message=text(MAX_MESSAGE_SIZE),
        gas=c64,
        fee=c64,
        block=BLOCK_ID,
        layer=c32,
        addresses=vector(ADDRESS, MAX_ADDRESSES),
    )


@dataclass(frozen=True, slots=True)
class TransactionWithResult:
    """A transaction and what applying it gave."""

    transaction: Transaction
    result: TransactionResult

    codec = struct(transaction=Transaction.codec, result=TransactionResult.codec)


@dataclass(frozen=True, slots=True)
class Reward:
    """What one smesher earned for one coinbase in one layer."""

    layer: LayerId
    total_reward: int
    """Smidge: subsidy and fees."""
    layer_reward: int
    """Smidge of the subsidy alone."""
    coinbase: Address
    smesher_id: NodeId

    codec = struct(layer=c32, total_reward=c64, layer_reward=c64, coinbase=ADDRESS, smesher_id=NODE_ID)


@dataclass(frozen=True, slots=True)
class Account:
    """The state of an account after a layer, as it goes into the state hash and into checkpoints."""

    layer: LayerId = NO_LAYER
    address: Address = EMPTY_ADDRESS
    next_nonce: int = 0
    balance: int = 0
    """Smidge."""
    template: Address | None = None
    """None: nothing was spawned yet."""
    state: bytes = b""
    """The encoded state of the template."""

    codec = struct(
        layer=c32,
        address=ADDRESS,
        next_nonce=c64,
        balance=c64,
        template=option(ADDRESS),
        state=byte_string(MAX_STATE_SIZE),
    )
