"""What the interfaces are told of an applied layer: small records, in the order in which they happened.

Protocol 07-vm-and-transactions, section 4; 10-api says who hears of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from node.ledger.layer import LayerChanges
from protocol.types.ids import TransactionId
from protocol.types.transactions import Account, Reward, TransactionResult, TxHeader


@dataclass(frozen=True, slots=True)
class AccountUpdated:
    """An account as it is after the layer."""

    account: Account


@dataclass(frozen=True, slots=True)
class RewardReceived:
    """A coinbase was paid."""

    reward: Reward


@dataclass(frozen=True, slots=True)
class TransactionApplied:
    """A transaction got its result. Of ineffective ones nobody is told."""

    id: TransactionId
    header: TxHeader
    result: TransactionResult


Event = AccountUpdated | RewardReceived | TransactionApplied


def of(changes: LayerChanges) -> Iterator[Event]:
    """The events of a layer that was written: accounts in the order of the state hash, rewards, results."""
    for account in changes.accounts:
        yield AccountUpdated(account)
    for reward in changes.rewards:
        yield RewardReceived(reward)
    for executed, (id, result) in zip(changes.executed, changes.results()):
        yield TransactionApplied(id, executed.header, result)
