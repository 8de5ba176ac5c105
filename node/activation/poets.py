"""The machine of PoET proofs: they come because an activation names them, and are kept with what activations ask.

| a proof that came | then |
|---|---|
| cannot be read, or is not the one that was asked for | dropped |
| is known | accepted: its reference fixes the proof, the first statement is kept |
| is new | verified, then kept |

A bad one is the fault of whoever sent it, never of the activation that names it, and the network blames nobody for it.
Protocol 02-poet-client, section 7.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.contract.demands import VerifyPoet
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message
from node.contract.steps import Found, Judged, Needs, Ticket
from node.contract.verdicts import ACCEPT, ignore
from node.store.view import Rows, View
from protocol.codec.declare import CodecError
from protocol.types.fetch import Hint
from protocol.types.ids import PoetProofRef
from protocol.types.poet import PoetProofMessage

from .tables import POET_BLOBS, POETS, PoetFacts


@dataclass(frozen=True, slots=True)
class _Stage:
    proof: PoetProofMessage
    ref: PoetProofRef


class PoetMachine(Machine):
    """The PoET proofs of one network."""

    name = "poets"
    hints = (Hint.POET,)

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        try:
            proof = PoetProofMessage.codec.decode(message.data)
        except CodecError as error:
            return Judged(ignore("malformed", str(error)))
        ref = PoetProofRef(proof.ref())
        if message.expected not in (None, ref):
            return Judged(ignore("wrong_hash", f"The PoET proof is {ref.hex()}, asked for was another."))
        if view.has(POETS, ref):
            return Judged(ACCEPT)
        return Needs(demands=(VerifyPoet(proof, ref),), memo=_Stage(proof, ref))

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        stage = ticket.memo
        assert isinstance(stage, _Stage)
        if view.has(POETS, stage.ref):
            return Judged(ACCEPT)
        if found.results[0] is not True:
            return Judged(ignore("poet_invalid"))
        rows = Rows(view)
        rows.put(POETS, stage.ref, PoetFacts(stage.proof.proof.leaf_count, stage.proof.statement))
        rows.put(POET_BLOBS, stage.ref, ticket.message.data)
        return Judged(ACCEPT, rows)
