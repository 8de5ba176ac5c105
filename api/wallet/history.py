"""What has happened to an account: coins that went and came, rewards, fees; the sum of it is the balance.

From the answers of a node's API to entries, one for every transaction that touched the account and every reward.
Specified in protocol 07-vm-and-transactions, sections 3 and 4 (who pays what), and 10-api, section 4.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import StringIO

from protocol.pb.spacemesh.v2alpha1 import reward_pb2, tx_pb2

REWARD = "reward"
_SPAWNS = ("single_sig_spawn", "multi_sig_spawn", "vesting_spawn", "vault_spawn")
_STATES = {
    tx_pb2.TRANSACTION_STATE_MEMPOOL: "waiting",
    tx_pb2.TRANSACTION_STATE_MESH: "in a block",
    tx_pb2.TRANSACTION_STATE_REJECTED: "rejected",
    tx_pb2.TRANSACTION_STATE_INSUFFICIENT_FUNDS: "cannot be paid",
    tx_pb2.TRANSACTION_STATE_CONFLICTING: "another has its nonce",
    tx_pb2.TRANSACTION_STATE_INEFFECTUAL: "has no effect",
}
"""Of a transaction that no layer has applied."""
COLUMNS = ("layer", "time", "kind", "change_smidge", "fee_smidge", "other", "status", "id")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, seen from the account."""

    layer: int | None
    """None: no layer has applied it."""
    kind: str
    """sent, received, drained, spawn, touched, reward."""
    change: int
    """Of the balance, in smidge, the fee included; 0 of what is not applied."""
    fee: int
    """In smidge, as far as this account has paid it."""
    other: str
    """The account on the other side; empty where there is none."""
    status: str
    """applied, failed, or what became of it so far."""
    id: str
    """Of the transaction, in hex; of a reward its smesher."""


def of_transaction(answer: tx_pb2.TransactionResponse, account: str) -> Entry:
    """What a transaction was to an account that it touched, or that is to pay for it."""
    tx, result = answer.tx, answer.tx_result
    is_applied = answer.HasField("tx_result")
    is_done = is_applied and result.status == tx_pb2.TransactionResult.TRANSACTION_STATUS_SUCCESS
    fee = result.fee if is_applied and tx.principal == account else 0
    kind, moved, other = _moved(tx, account)
    status = _STATES.get(answer.tx_state, "unknown")
    if is_applied:
        status = "applied" if is_done else "failed"
    layer = result.layer if is_applied else None
    return Entry(layer, kind, (moved if is_done else 0) - fee, fee, other, status, tx.id.hex())


def _moved(tx: tx_pb2.Transaction, account: str) -> tuple[str, int, str]:
    """What kind it is, how much it gives or takes beside the fee, and who is on the other side."""
    what = tx.contents.WhichOneof("contents")
    if what in ("send", "drain_vault"):
        is_drain = what == "drain_vault"
        source = tx.contents.drain_vault.vault if is_drain else tx.principal
        content = tx.contents.drain_vault if is_drain else tx.contents.send
        gone = content.amount if source == account else 0
        come = content.amount if content.destination == account else 0
        if come and not gone:
            return "received", come, source
        return "drained" if is_drain else "sent", come - gone, content.destination
    if what in _SPAWNS:
        return "spawn", 0, "" if tx.principal == account else tx.principal
    return "touched", 0, "" if tx.principal == account else tx.principal


def of_reward(reward: reward_pb2.Reward) -> Entry:
    """What a coinbase was paid."""
    return Entry(reward.layer, REWARD, reward.total, 0, "", "applied", reward.smesher.hex())


def in_order(applied: Iterable[Entry], waiting: Iterable[Entry] = ()) -> list[Entry]:
    """By layers; in a layer transactions before rewards, as they are applied; last, what no layer has applied."""
    ordered = sorted(applied, key=lambda one: (one.layer or 0, one.kind == REWARD))
    return [*ordered, *waiting]


def table(entries: Iterable[Entry], time_of: Iterable[str]) -> str:
    """The entries as comma-separated values with a line of names; `time_of` is that of each."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows(entries, time_of))
    return text.getvalue()


def rows(entries: Iterable[Entry], time_of: Iterable[str]) -> Iterator[tuple[object, ...]]:
    """The values of the columns."""
    for one, time in zip(entries, time_of, strict=True):
        layer = "" if one.layer is None else one.layer
        yield layer, time, one.kind, one.change, one.fee, one.other, one.status, one.id
