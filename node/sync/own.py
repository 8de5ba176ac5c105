"""Own activations and ballots that come from outside: what an earlier life of this node has signed and forgotten.

| a slot of ours | an object of ours was stored | then |
|---|---|---|
| holds the same bytes | | nothing |
| is empty | it belongs to a time before we were synced | the bytes are noted: nothing else is signed for the slot |
| is empty | it belongs to a time since then | somebody else signs with the key: the identity is stopped |
| holds other bytes | | the same |

The own store is written before the rest of the turn, so that the object and its slot come together. DESIGN of the
store: `node.store.own`.
"""

from __future__ import annotations

from collections.abc import Iterable

from node.activation.tables import ATXS, BLOBS, BY_SMESHER
from node.contract.effects import Effect, StopIdentity
from node.contract.instants import Instant
from node.contract.ports import Keys
from node.mesh.tables import BALLOTS, BALLOTS_BY_SMESHER
from node.store.own import SIGNED, Kind, Slot
from node.store.view import Rows, Span
from node.sync.states import SyncStatus
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import Ballot
from protocol.types.ids import AtxId, BallotId, LayerId, NodeId


class OwnObjects:
    """Of the identities of one node."""

    def __init__(self, time: NetworkTime, keys: Keys, status: SyncStatus) -> None:
        self._time = time
        self._keys = keys
        self._status = status
        self._known: set[NodeId] = set()
        """Identities whose stored activations were looked at."""

    def look_up(self, rows: Rows, layer: LayerId) -> list[Effect]:
        """Note what is stored of identities that have become ours: all activations, and ballots from a layer on."""
        new = {signer.identity for signer in self._keys.signers()} - self._known
        self._known |= new
        effects: list[Effect] = []
        for identity in sorted(new):
            atxs = [id for _, id in rows.find(BY_SMESHER, Span(within=(identity,)))]
            effects += self.atxs(rows, atxs)
        if new:
            recent = rows.find(BALLOTS_BY_SMESHER, Span(start=(layer,)))
            effects += self.ballots(rows, [id for (_, identity), id in recent if identity in new])
        return effects

    def atxs(self, rows: Rows, ids: Iterable[AtxId]) -> list[Effect]:
        """Activations were stored."""
        own = {signer.identity for signer in self._keys.signers()}
        effects: list[Effect] = []
        for id in ids:
            row = rows.get(ATXS, id) if own else None
            if row is None or row.smesher not in own:
                continue
            data = rows.get(BLOBS, id)
            if data is None:  # of a checkpoint: an epoch that is long over
                continue
            begin = Instant(self._time.start_ns(self._time.first_layer(row.publish_epoch)))
            slot = Slot(row.smesher, Kind.ATX, row.publish_epoch)
            effects += self._note(rows, slot, data, begin, f"an activation in epoch {row.publish_epoch}")
        return effects

    def ballots(self, rows: Rows, ids: Iterable[BallotId]) -> list[Effect]:
        """Ballots were stored."""
        own = {signer.identity for signer in self._keys.signers()}
        effects: list[Effect] = []
        for id in ids:
            ballot = rows.get(BALLOTS, id) if own else None
            if ballot is None or ballot.smesher_id not in own:
                continue
            layer = ballot.inner.layer
            begin = Instant(self._time.start_ns(layer))
            slot = Slot(ballot.smesher_id, Kind.BALLOT, layer)
            effects += self._note(rows, slot, Ballot.codec.encode(ballot), begin, f"a ballot in layer {layer}")
        return effects

    def _note(self, rows: Rows, slot: Slot, signed: bytes, begin: Instant, what: str) -> list[Effect]:
        stored = rows.get(SIGNED, slot)
        if stored == signed:
            return []
        is_ours = stored is None and (not self._status.may_sign(begin) or self._has_proposal(rows, slot))
        if stored is None:
            rows.put(SIGNED, slot, signed)
        if is_ours:
            return []
        sentence = (
            f"It has published {what} that this node has not signed. Another node signs with the same key, or did so "
            "with a copy of it: that loses all rewards. Run one of them only."
        )
        return [StopIdentity(slot.identity, sentence)]

    def _has_proposal(self, rows: Rows, slot: Slot) -> bool:
        """Whether the ballot went out in a proposal of ours, which has a slot of its own."""
        return slot.kind is Kind.BALLOT and rows.has(SIGNED, Slot(slot.identity, Kind.PROPOSAL, slot.number))
