"""Where each kind of object that nodes ask each other for is kept."""

from __future__ import annotations

from node.fetch.blobs import Blobs, Sources, stored, unpadded
from node.proposals.store import ProposalStore
from node.proposals.tables import ACTIVE_SETS
from node.store.view import View
from protocol.types.fetch import Hint
from protocol.types.ids import Hash32, ProposalId
from protocol.types.proposals import Proposal


def sources(proposals: ProposalStore) -> Sources:
    """All kinds, by hint."""

    def has(view: View, id: bytes) -> bool:
        short = unpadded(id)
        return short is not None and proposals.by_id(ProposalId(short)) is not None

    def get(view: View, id: bytes) -> bytes | None:
        short = unpadded(id)
        known = None if short is None else proposals.by_id(ProposalId(short))
        return None if known is None else Proposal.codec.encode(known.proposal)

    return {
        **stored(),
        Hint.PROPOSAL: Blobs(has, get),
        Hint.ACTIVE_SET: Blobs(
            lambda view, id: view.has(ACTIVE_SETS, Hash32(id)), lambda view, id: view.read(ACTIVE_SETS, id)
        ),
    }
