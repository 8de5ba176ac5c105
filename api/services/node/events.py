"""What streams tell: small records, each a topic of the bus. They follow from committed rows, so that nothing is told
which is not kept. Specified in protocol 10-api, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from protocol.pb.spacemesh.v1 import admin_types_pb2
from protocol.types.ids import Address, AtxId, LayerId, NodeId, ProposalId, TransactionId
from protocol.types.proposals import Proposal
from protocol.types.transactions import Reward, TransactionResult


@dataclass(frozen=True, slots=True)
class TransactionAdded:
    """A transaction is new in the mempool."""

    id: TransactionId
    principal: Address


@dataclass(frozen=True, slots=True)
class AtxAdded:
    """An activation was stored."""

    id: AtxId


class LayerStatus(IntEnum):
    """How far a layer is; the numbers are those of the reference's event."""

    OPENED = 0
    APPROVED = 1
    CONFIRMED = 2
    APPLIED = 3


@dataclass(frozen=True, slots=True)
class LayerUpdated:
    """Something became of a layer."""

    layer: LayerId
    status: LayerStatus


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """What the status says may be another now: it is to be read again."""


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """An account was touched by a transaction that came in, or by a layer."""

    address: Address


@dataclass(frozen=True, slots=True)
class RewardPaid:
    """A coinbase was paid."""

    reward: Reward


@dataclass(frozen=True, slots=True)
class TransactionDone:
    """A transaction was executed in a layer that was applied."""

    id: TransactionId
    result: TransactionResult


@dataclass(frozen=True, slots=True)
class NodeErred:
    """Something went wrong that an operator should know of."""

    level: int
    """As of `spacemesh.v1.LogLevel`."""
    message: str
    trace: str = ""


class ProposalStatus(IntEnum):
    """What became of a proposal."""

    CREATED = 0
    INCLUDED = 1


@dataclass(frozen=True, slots=True)
class ProposalSeen:
    """A proposal was made here, or a block was made of it."""

    id: ProposalId
    proposal: Proposal
    status: ProposalStatus


@dataclass(frozen=True, slots=True)
class SmesherConvicted:
    """A proof of malfeasance was accepted."""

    identity: NodeId
    proof: bytes


@dataclass(frozen=True, slots=True)
class UserEvent:
    """What the owner of an identity is told; the last hundred are kept for those who come later."""

    event: admin_types_pb2.Event


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """Something happened to an own identity; None: to all of them."""

    identity: NodeId | None


Event = (
    TransactionAdded
    | AtxAdded
    | LayerUpdated
    | StatusChanged
    | AccountChanged
    | RewardPaid
    | TransactionDone
    | NodeErred
    | ProposalSeen
    | SmesherConvicted
    | UserEvent
    | IdentityChanged
)
