"""Where each kind of object that nodes ask each other for is kept."""

from __future__ import annotations

from node.fetch.blobs import Blobs, Sources, stored
from node.proposals.store import ProposalStore
from node.proposals.tables import ACTIVE_SETS
from node.store.view import View
from protocol.types.fetch import Hint
from protocol.types.ids import HASH20_SIZE, Hash32, ProposalId, as_hash32
from protocol.types.proposals import Proposal


def sources(proposals: ProposalStore) -> Sources:
    """All kinds, by hint."""

    def has(view: View, id: bytes) -> bool:
        short = _unpadded(id)
        return short is not None and proposals.by_id(short) is not None

    def get(view: View, id: bytes) -> bytes | None:
        short = _unpadded(id)
        known = None if short is None else proposals.by_id(short)
        return None if known is None else Proposal.codec.encode(known.proposal)

    return {
        **stored(),
        Hint.PROPOSAL: Blobs(has, get),
        Hint.ACTIVE_SET: Blobs(
            lambda view, id: view.has(ACTIVE_SETS, Hash32(id)), lambda view, id: view.read(ACTIVE_SETS, id)
        ),
    }


def _unpadded(id: bytes) -> ProposalId | None:
    """The id of a proposal; None where it is none, which has 20 bytes and zeros behind them."""
    short = ProposalId(id[:HASH20_SIZE])
    return short if as_hash32(short) == id else None
