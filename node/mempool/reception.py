"""Whether a transaction that came in is taken, by the way it came: gossip or the API, for a proposal, for a block.

Only a decision: whoever asks relays, stores and drops peers. Protocol 07-vm-and-transactions, section 7.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from node.errors import NodeError
from node.ledger.machine import Vm
from node.mempool.pool import Mempool
from node.mempool.transaction import PoolTransaction
from protocol.types.ids import TransactionId
from protocol.types.transactions import RawTx, Transaction


class Verdict(Enum):
    """What becomes of a message."""

    ACCEPT = "accept"
    """Relayed, where it came by gossip."""
    IGNORE = "ignore"
    """Not relayed; the sender is not to blame."""
    REJECT = "reject"
    """Not relayed, and the sender is dropped."""


class TransactionRefused(NodeError):
    """A transaction that parses but is not taken. reason: no_fee, incorrect_hash, not_signed."""


@dataclass(frozen=True, slots=True)
class Reception:
    """The decision on one transaction."""

    verdict: Verdict
    reason: str = ""
    """Why it was not accepted: a sentence."""
    to_store: Transaction | None = None
    """What must be stored, where the mempool has not done so: it came for a block."""


ACCEPTED = Reception(Verdict.ACCEPT)


def check(vm: Vm, raw: bytes, requested: TransactionId | None = None) -> Transaction:
    """A transaction that would be taken, with its header. requested: the id that it must have.

    Raises ParseError; TransactionRefused, for the first of: no_fee, incorrect_hash, not_signed.
    """
    parsed = vm.parse(raw)
    if parsed.fee == 0:
        raise TransactionRefused(
            f"The transaction pays no fee: {parsed.max_gas} gas at {parsed.gas_price} smidge each.", "no_fee"
        )
    record = RawTx.of(raw)
    if requested is not None and record.id != requested:
        raise TransactionRefused(_incorrect(record.id, requested), "incorrect_hash")
    if not vm.verify(parsed):
        raise TransactionRefused("A signature of the transaction is missing or not valid.", "not_signed")
    return Transaction(record, parsed.header)


def submit(vm: Vm, pool: Mempool, raw: bytes, now_ns: int) -> TransactionId:
    """Take a transaction into the mempool, from gossip or the API.

    Raises ParseError, TransactionRefused, MempoolError.
    """
    transaction = check(vm, raw)
    pool.add(PoolTransaction.of(transaction, now_ns))
    return transaction.raw.id


def from_gossip(
    vm: Vm, pool: Mempool, raw: bytes, now_ns: int, *, is_own: bool, is_synced: bool, is_known: bool
) -> Reception:
    """A message of the topic of transactions. is_known: it is stored with its header."""
    if is_own:
        return ACCEPTED
    if not is_synced:
        return Reception(Verdict.IGNORE, "The node is not synced yet.")
    if is_known:
        return Reception(Verdict.IGNORE, "The transaction is known.")
    try:
        submit(vm, pool, raw, now_ns)
    except NodeError as error:
        return Reception(Verdict.IGNORE, str(error))
    return ACCEPTED


def for_proposal(
    vm: Vm, pool: Mempool, raw: bytes, now_ns: int, *, requested: TransactionId, is_known: bool
) -> Reception:
    """The answer of a peer that was asked for a proposal's transaction. The id is compared after the parse only."""
    if is_known:
        return ACCEPTED
    try:
        pool.add(PoolTransaction.of(check(vm, raw, requested), now_ns))
    except NodeError as error:
        is_lie = error.reason == "incorrect_hash"
        return Reception(Verdict.REJECT if is_lie else Verdict.IGNORE, str(error))
    return ACCEPTED


def for_block(vm: Vm, raw: bytes, *, requested: TransactionId, is_known: bool) -> Reception:
    """The answer of a peer that was asked for a block's transaction: stored whatever it is, to apply the block."""
    if is_known:
        return ACCEPTED
    record = RawTx.of(raw)
    if record.id != requested:
        return Reception(Verdict.REJECT, _incorrect(record.id, requested))
    try:
        parsed = vm.parse(raw)
        header = parsed.header if vm.verify(parsed) else None
    except NodeError:
        header = None
    return Reception(Verdict.ACCEPT, to_store=Transaction(record, header))


def _incorrect(found: TransactionId, requested: TransactionId) -> str:
    return f"incorrect hash: {found.hex()} was sent, {requested.hex()} was asked for."
