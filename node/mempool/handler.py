"""Transactions that come in: which are taken, by the way they come: gossip or the API, for a proposal, for a block.

Protocol 07-vm-and-transactions, section 7.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from node.contract.checks import SignatureCheck
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message, Origin
from node.contract.steps import NOTHING, Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import ACCEPT, Verdict, ignore, reject
from node.errors import NodeError
from node.ledger.errors import ParseError
from node.ledger.parse import Parsed
from node.ledger.vm import Vm
from node.mempool import transactions
from node.mempool.errors import MempoolError
from node.mempool.pool import Mempool
from node.store.view import Rows, View
from protocol.types.fetch import Hint
from protocol.types.ids import NodeId, TransactionId
from protocol.types.transactions import RawTx, Transaction

TOPIC = "tx1"
PROPOSAL_TRANSACTIONS: str = Hint.TX
"""The kind of fetched transactions that a proposal names."""
BLOCK_TRANSACTIONS = "TXDB/block"
"""The kind of those that a block names: peers are asked for both with the same hint, but they are judged otherwise."""

DUPLICATE = ignore("duplicate", "The transaction is known.")
NOT_SIGNED = ignore("not_signed", "A signature of the transaction is missing or not valid.")


class TransactionRefused(NodeError):
    """A transaction that parses but is not taken. reason: no_fee."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A transaction whose signatures are looked at."""

    record: RawTx
    checks: tuple[SignatureCheck, ...]


class TxHandler(Machine):
    """Judges transactions. A message that is not accepted is ignored, but for the answer to another question."""

    name: ClassVar[str] = "transactions"
    topics: ClassVar[tuple[str, ...]] = (TOPIC,)
    hints: ClassVar[tuple[str, ...]] = (PROPOSAL_TRANSACTIONS, BLOCK_TRANSACTIONS)

    def __init__(self, vm: Vm, pool: Mempool, is_synced: Callable[[], bool]) -> None:
        """is_synced: whether the node knows the state by which gossip is judged."""
        self._vm = vm
        self._pool = pool
        self._is_synced = is_synced

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says: the pool is filled from its rows."""
        self._pool.start(view)
        return NOTHING

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        if message.origin is Origin.GOSSIP and not self._is_synced():
            return Judged(ignore("not_synced", "The node is not synced yet."))
        return self._judge(message, RawTx.of(message.data), view, None, is_signed=False)

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        """As Machine says. A principal that has got other keys meanwhile has its signatures looked at again."""
        memo = ticket.memo
        assert isinstance(memo, _Waiting), "this machine's tickets hold this"
        return self._judge(ticket.message, memo.record, view, memo.checks, is_signed=found.all_hold)

    def _judge(
        self,
        message: Message,
        record: RawTx,
        view: View,
        checked: tuple[SignatureCheck, ...] | None,
        *,
        is_signed: bool,
    ) -> Judged | Needs:
        """checked: the signatures that have been looked at; None: none yet."""
        is_for_block = message.channel == BLOCK_TRANSACTIONS
        if self._is_known(message, record.id, view):
            return Judged(DUPLICATE if message.origin is Origin.GOSSIP else ACCEPT)
        if is_for_block and record.id != message.expected:
            return Judged(_incorrect(record.id, message.expected))
        try:
            parsed = self._vm.parse(view, record.raw)
            if not is_for_block:
                _require_fee(parsed)
        except (ParseError, TransactionRefused) as error:
            return self._refused(message, record, view, ignore(error.reason, str(error)))
        if not is_for_block and message.expected not in (None, record.id):
            return Judged(_incorrect(record.id, message.expected))
        checks = _checks(parsed)
        if not checks:
            return self._refused(message, record, view, NOT_SIGNED)
        if checks != checked:
            return Needs(signatures=checks, memo=_Waiting(record, checks))
        if not is_signed:
            return self._refused(message, record, view, NOT_SIGNED)
        return self._take(message, Transaction(record, parsed.header), view)

    def _is_known(self, message: Message, id: TransactionId, view: View) -> bool:
        """A block's transaction is known whatever it is; elsewhere only one that was valid."""
        if message.channel == BLOCK_TRANSACTIONS:
            return transactions.has(view, TransactionId(message.expected or id))
        return transactions.has(view, id, with_header=True)

    def _take(self, message: Message, transaction: Transaction, view: View) -> Judged:
        rows = Rows(view)
        if message.channel == BLOCK_TRANSACTIONS:
            transactions.put(rows, transaction, message.received)
            return Judged(ACCEPT, rows)
        try:
            self._pool.add(rows, transaction, message.received)
        except MempoolError as error:
            return Judged(ignore(error.reason, str(error)))
        return Judged(ACCEPT, rows)

    def _refused(self, message: Message, record: RawTx, view: View, verdict: Verdict) -> Judged:
        """What a block holds is stored, valid or not: without it the block cannot be applied."""
        if message.channel != BLOCK_TRANSACTIONS:
            return Judged(verdict)
        rows = Rows(view)
        transactions.put(rows, Transaction(record), message.received)
        return Judged(ACCEPT, rows)


def _require_fee(parsed: Parsed) -> None:
    if parsed.fee == 0:
        raise TransactionRefused(
            f"The transaction pays no fee: {parsed.max_gas} gas at {parsed.gas_price} smidge each.", "no_fee"
        )


def _checks(parsed: Parsed) -> tuple[SignatureCheck, ...]:
    """The signatures that must all be valid; none where nothing could make the transaction valid."""
    found = parsed.signatures()
    if found is None:
        return ()
    signed = parsed.raw[: len(parsed.raw) - found.size]
    return tuple(
        SignatureCheck(None, NodeId(key), signed, signature)
        for key, signature in zip(found.public_keys, found.signatures)
    )


def _incorrect(found: TransactionId, requested: bytes | None) -> Verdict:
    asked = b"" if requested is None else requested
    return reject("incorrect_hash", f"incorrect hash: {found.hex()} was sent, {asked.hex()} was asked for.")
