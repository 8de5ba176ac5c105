"""The rounds of PoET servers: each proof is fetched and verified once, whoever of the identities was a member.

| a round | then |
|---|---|
| is asked for | its members must give the statement of the proof |
| came | the proof is verified, unless the store has it |
| holds | the place of every challenge in it can be proven |
| failed, on either way | it is asked for again after a while, as long as somebody wants it |

Protocol 02-poet-client, sections 4, 6.3 and 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from node.activation.tables import POET_BLOBS, POETS, PoetFacts
from node.contract.demands import Failed, PoetProofOf, Result, RoundProof, VerifyPoet
from node.contract.instants import Instant, after
from node.store.view import Rows
from protocol.codec.declare import CodecError
from protocol.crypto.merkle import layers_of, prove_in
from protocol.types.ids import Hash32, PoetProofRef
from protocol.types.poet import PoetProofMessage

from .events import RoundProofMissing, RoundProofTaken
from .tables import ROUND_PROOFS, Membership
from .work import Work


class RoundTag(NamedTuple):
    """Names the proof of a round that was asked for; is_fetched: it is here, and is verified."""

    server: str
    round_id: str
    is_fetched: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """A round whose proof holds."""

    message: PoetProofMessage
    ref: PoetProofRef
    layers: Sequence[Sequence[bytes]]
    """Of the tree of its members, the leaves first."""

    @property
    def leaf_count(self) -> int:
        """Leaves of the proof."""
        return self.message.proof.leaf_count

    def membership(self, challenge: bytes) -> Membership | None:
        """That a challenge is a member, by its first place; None where it is none."""
        try:
            index = self.layers[0].index(challenge)
        except ValueError:
            return None
        nodes = tuple(Hash32(node) for node in prove_in(self.layers, [index]))
        return Membership(self.ref, self.leaf_count, nodes, index)

    def keep(self, rows: Rows) -> None:
        """Put the proof, for ourselves and for whoever asks for it when the activation is out."""
        data = PoetProofMessage.codec.encode(self.message)
        rows.put(ROUND_PROOFS, self.ref, data)
        keep_proof(rows, self.message, data)


def keep_proof(rows: Rows, message: PoetProofMessage, data: bytes) -> None:
    """Put a proof that holds among those of the node, where it is not known."""
    ref = message.ref()
    if not rows.has(POETS, ref):
        rows.put(POETS, ref, PoetFacts(message.proof.leaf_count, message.statement))
        rows.put(POET_BLOBS, ref, data)


NEVER_FAILED = Instant(0)


@dataclass(slots=True)
class _Entry:
    is_open: bool = False
    round: Round | None = None
    not_before: Instant = NEVER_FAILED


class Rounds:
    """All that were asked for. Mutable; may be forgotten."""

    def __init__(self, retry: int) -> None:
        """retry: nanoseconds until a server that failed is asked again."""
        self._retry = retry
        self._entries: dict[tuple[str, str], _Entry] = {}

    def ask(self, work: Work, server: str, round_id: str) -> bool:
        """Have a proof fetched unless it is here, on its way, or to be asked for later; whether it is on its way."""
        entry = self._entries.setdefault((server, round_id), _Entry())
        if entry.round is None and not entry.is_open and work.now >= entry.not_before:
            entry.is_open = True
            work.ask(PoetProofOf(server, round_id), RoundTag(server, round_id))
        return entry.is_open

    def get(self, server: str, round_id: str) -> Round | None:
        """The proof, if it is here."""
        entry = self._entries.get((server, round_id))
        return None if entry is None or entry.is_open else entry.round

    def not_before(self, server: str, round_id: str) -> Instant:
        """When a proof that failed is asked for again."""
        return self._entries[server, round_id].not_before

    def keep_only(self, wanted: set[tuple[str, str]]) -> None:
        """Forget the proofs that nobody wants any more."""
        for key in [key for key, entry in self._entries.items() if key not in wanted and not entry.is_open]:
            del self._entries[key]

    def answered(self, work: Work, tag: RoundTag, asked: object, result: Result) -> None:
        """An answer."""
        entry = self._entries.get((tag.server, tag.round_id))
        if entry is None or not entry.is_open:
            return
        if isinstance(asked, VerifyPoet):
            self._verified(work, entry, tag, result)
        elif isinstance(result, RoundProof):
            self._fetched(work, entry, tag, result)
        else:
            why = result if isinstance(result, Failed) else Failed("no_proof")
            self._failed(work, entry, tag, why)

    def _fetched(self, work: Work, entry: _Entry, tag: RoundTag, found: RoundProof) -> None:
        read = _read(found)
        if isinstance(read, str):
            self._failed(work, entry, tag, Failed("invalid", read))
            return
        entry.round, ref = read, read.ref
        stored = work.rows.get(POETS, ref)
        if stored is not None and stored.statement == found.proof.statement:
            self._taken(work, entry, tag)
        else:
            work.ask(VerifyPoet(found.proof, ref), tag._replace(is_fetched=True))

    def _verified(self, work: Work, entry: _Entry, tag: RoundTag, result: Result) -> None:
        if result is True:
            self._taken(work, entry, tag)
            return
        entry.round = None
        why = result if isinstance(result, Failed) else Failed("invalid", "The proof does not hold.")
        self._failed(work, entry, tag, why)

    def _taken(self, work: Work, entry: _Entry, tag: RoundTag) -> None:
        assert entry.round is not None, "it was fetched"
        entry.is_open = False
        work.emit(RoundProofTaken(tag.server, tag.round_id, entry.round.leaf_count))

    def _failed(self, work: Work, entry: _Entry, tag: RoundTag, why: Failed) -> None:
        entry.is_open, entry.not_before = False, after(work.now, self._retry)
        work.emit(RoundProofMissing(tag.server, tag.round_id, why.reason, why.detail))


def _read(found: RoundProof) -> Round | str:
    """The round, before its proof is verified; a sentence where it cannot be one."""
    try:
        PoetProofMessage.codec.encode(found.proof)
    except CodecError as error:
        return f"The proof cannot be handed on: {error}"
    if not found.members:
        return "The round has no members."
    if any(len(member) != 32 for member in found.members):
        return "A member of the round does not have 32 bytes."
    layers = layers_of(found.members)
    if layers[-1][0] != found.proof.statement:
        return "The proof is not over the members that came with it."
    return Round(found.proof, found.proof.ref(), layers)
