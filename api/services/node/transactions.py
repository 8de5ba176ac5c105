"""Transactions that clients hand in: what they mean, whether they are signed, and giving them to the node.

The core of both generations of services. They say themselves what an empty request is answered with, since the texts
differ. Specified in protocol 10-api, sections 3.4, 4 and 9; the texts are the network's own where clients show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.edge.rpc import Failed, Status
from node.contract.verdicts import Verdict
from node.ledger.errors import INTERNAL, INVALID_ARGS, MALFORMED, NOT_SPAWNED, TX_LIMIT, ParseError
from node.ledger.vm import Vm
from node.mempool import transactions
from protocol.types.ids import TransactionId
from protocol.types.transactions import transaction_id

from .reading import reading
from .refusals import refusals_of

if TYPE_CHECKING:
    from node.ledger.parse import Parsed

    from .backend import Backend

NOT_SYNCED = "Cannot submit transaction, node is not in sync yet, try again later"
ACCOUNT_NOT_SPAWNED = "account is not spawned"
SIGNATURE_INVALID = "signature is invalid"
ALREADY_EXISTS = "tx already exists"

_PARSE_STATUS = {
    NOT_SPAWNED: Status.NOT_FOUND,
    MALFORMED: Status.INVALID_ARGUMENT,
    # the reference knows no better for these
    TX_LIMIT: Status.INTERNAL,
    INVALID_ARGS: Status.INTERNAL,
    INTERNAL: Status.INTERNAL,
}


class Transactions:
    """What clients may do with the bytes of a transaction."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._vm = Vm(backend.parameters.vm)

    def parse(self, raw: bytes, *, verify: bool = False) -> Parsed:
        """What a transaction means for its principal as it stands now.

        verify: its signatures must be valid too. Raises Failed (NOT_FOUND, INVALID_ARGUMENT, INTERNAL).
        """
        with reading(self._backend) as view:
            try:
                parsed = self._vm.parse(view, raw)
            except ParseError as error:
                raise Failed(_PARSE_STATUS[error.reason], _text(error.reason, str(error))) from None
        if verify and not self._vm.verify(parsed):
            raise Failed(Status.INVALID_ARGUMENT, SIGNATURE_INVALID)
        return parsed

    async def submit(self, raw: bytes) -> TransactionId:
        """Give a transaction to the mempool and the network; its id, once it is on stable storage here.

        Raises Failed: FAILED_PRECONDITION while the node catches up, INVALID_ARGUMENT with the reason where the
        transaction is not taken, RESOURCE_EXHAUSTED where too many wait.
        """
        if not self._backend.facts.is_synced:
            raise Failed(Status.FAILED_PRECONDITION, NOT_SYNCED)
        id = transaction_id(raw)
        with reading(self._backend) as view:
            is_known = transactions.has(view, id, with_header=True)
        if is_known:
            raise _refused(ALREADY_EXISTS)
        verdict = await self._backend.submit(raw)
        refusals_of(self._backend).note(id, verdict)
        if not verdict.is_accepted:
            raise _refused(_reason(verdict, id))
        return id


def _text(reason: str, sentence: str) -> str:
    return ACCOUNT_NOT_SPAWNED if reason == NOT_SPAWNED else sentence


def _refused(why: str) -> Failed:
    return Failed(Status.INVALID_ARGUMENT, f"Failed to verify transaction: {why}")


def _reason(verdict: Verdict, id: TransactionId) -> str:
    """Why a transaction was not taken, in the reference's words where it has some."""
    match verdict.reason:
        case "duplicate":
            return ALREADY_EXISTS
        case "bad_nonce" | "insufficient_balance" as reason:
            return reason.replace("_", " ")
        case "not_signed":
            return f"failed to verify tx: {id.hex()}"
        case "no_fee":
            return f"failed to parse tx: zero gas price {id.hex()}"
        case reason if reason in _PARSE_STATUS:
            return f"failed to parse tx: {id.hex()} (err: {_text(reason, verdict.detail)})"
        case _:
            return verdict.detail or verdict.reason
