"""Who broke the rules, for those who ask from outside. Specified in protocol 10-api, sections 3.2 and 4.

Only whoever is convicted by a proof: what is marked without one is known to this node alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from node.malfeasance.info import info
from node.malfeasance.tables import PROOFS
from node.store.view import View
from protocol.errors import ProtocolError
from protocol.types.ids import NodeId
from protocol.types.malfeasance import MalfeasanceProof

from .pages import ALL, Page


@dataclass(frozen=True, slots=True)
class Conviction:
    """A proof against a smesher."""

    smesher: NodeId
    data: bytes
    """The bytes of the proof."""
    received: int
    """Nanoseconds since 1970."""
    proof: MalfeasanceProof | None
    """None where the bytes cannot be read."""

    @property
    def properties(self) -> dict[str, str]:
        """What the proof says, as names and texts; none where it cannot be read."""
        return {} if self.proof is None else info(self.proof)


def find(view: View, smesher: NodeId) -> Conviction | None:
    """The proof against a smesher; None where there is none. Raises StoreFault."""
    stored = view.get(PROOFS, smesher)
    if stored is None:
        return None
    try:
        proof = MalfeasanceProof.codec.decode(stored.proof)
    except ProtocolError:
        proof = None
    return Conviction(smesher, stored.proof, stored.received, proof)


def page(view: View, smeshers: Sequence[NodeId] = (), page: Page = ALL) -> Iterator[Conviction]:
    """Proofs by the keys of their smeshers, ascending. smeshers: none of them is no filter. Raises StoreFault."""
    keys = sorted(set(smeshers)) if smeshers else view.keys(PROOFS)
    if smeshers:
        keys = [key for key in keys if view.has(PROOFS, key)]
    for smesher in page.of(keys):
        conviction = find(view, smesher)
        if conviction is not None:
            yield conviction
