"""The proposals of the last few layers: in memory alone, for hare, which votes on them, and blocks, made of them.

| a proposal | is kept |
|---|---|
| of gossip | within the bounds on its layer, its smesher and all bytes |
| of our own, or asked for | within twice the bytes, whatever else was kept: hare agreed on it, or is to |
| of a layer that is over | no more |

What it holds is gone with the process; what is needed then is asked of peers. Protocol 04b, section 6, and
05-consensus, section 6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from node.proposals.parameters import StoreBounds
from node.store.view import View
from protocol.types.ballots import VotingEligibility
from protocol.types.ids import AtxId, BallotId, Beacon, LayerId, NodeId, ProposalId
from protocol.types.proposals import Proposal


@dataclass(frozen=True, slots=True)
class KnownProposal:
    """A valid proposal, with what follows from it and does not stand in it."""

    id: ProposalId
    ballot_id: BallotId
    proposal: Proposal
    beacon: Beacon
    """That of its smesher's first ballot of the epoch, which may not be ours."""
    is_malicious: bool
    """Whether its smesher was known to be malicious when it came, or is by it. Who was convicted later, the ATXs in
    memory say."""
    size: int
    """Bytes of its encoding."""

    @property
    def layer(self) -> LayerId:
        """The layer for which it was made."""
        return self.proposal.inner.ballot.inner.layer

    @property
    def smesher(self) -> NodeId:
        """Who made it."""
        return self.proposal.inner.ballot.smesher_id

    @property
    def atx_id(self) -> AtxId:
        """The ATX of the smesher that counts in the epoch."""
        return self.proposal.inner.ballot.inner.atx_id

    @property
    def eligibilities(self) -> Sequence[VotingEligibility]:
        """At least one; the compact id of hare is made of the first (`node.hare.exchange.compact_id`)."""
        return self.proposal.inner.ballot.eligibility_proofs


class ProposalStore:
    """The proposals of recent layers. Mutable; its machine adds and lets go, all others read."""

    def __init__(self, bounds: StoreBounds) -> None:
        self._bounds = bounds
        self._layers: dict[LayerId, dict[ProposalId, KnownProposal]] = {}
        self._ascending: dict[LayerId, Sequence[KnownProposal]] = {}
        """Those of a layer by id, since they were read last; hare reads them for many a message."""
        self._by_smesher: Counter[tuple[LayerId, NodeId]] = Counter()
        self._size = 0
        self._evicted: LayerId | None = None
        self.touches = 0

    # ---- reading ----

    def of_layer(self, layer: LayerId) -> Sequence[KnownProposal]:
        """The proposals of a layer, ids ascending; of one smesher there may be several."""
        found = self._ascending.get(layer)
        if found is None:
            found = tuple(known for _, known in sorted(self._layers.get(layer, {}).items()))
            if found:
                self._ascending[layer] = found
        return found

    def get(self, layer: LayerId, id: ProposalId) -> KnownProposal | None:
        """One of a layer."""
        return self._layers.get(layer, {}).get(id)

    def by_id(self, id: ProposalId) -> KnownProposal | None:
        """One of whatever layer, for a peer that asks."""
        for known in self._layers.values():
            if id in known:
                return known[id]
        return None

    def proposal(self, view: View, layer: LayerId, id: ProposalId) -> Proposal | None:
        """One of a layer, as blocks ask for it; nothing of it is in rows."""
        known = self.get(layer, id)
        return None if known is None else known.proposal

    # ---- changing ----

    def refusal(self, layer: LayerId, smesher: NodeId, size: int, *, is_wanted: bool) -> str | None:
        """Why a proposal that is not known cannot be kept, as a verdict's reason; None: it can.

        is_wanted: it is our own, or was asked for.
        """
        bounds = self._bounds
        if self._evicted is not None and layer <= self._evicted:
            return "evicted"
        if is_wanted:
            return "too_many_bytes" if self._size + size > 2 * bounds.bytes else None
        if self._by_smesher[layer, smesher] >= bounds.of_smesher:
            return "too_many_of_smesher"
        if len(self._layers.get(layer, ())) >= bounds.of_layer:
            return "too_many_of_layer"
        return "too_many_bytes" if self._size + size > bounds.bytes else None

    def add(self, known: KnownProposal) -> None:
        """Keep a proposal for which there is no refusal. One that is there stays."""
        of_layer = self._layers.setdefault(known.layer, {})
        if known.id in of_layer:
            return
        self.touches += 1
        of_layer[known.id] = known
        self._ascending.pop(known.layer, None)
        self._by_smesher[known.layer, known.smesher] += 1
        self._size += known.size

    def on_layer(self, current: LayerId) -> None:
        """A layer began: those that ended so many layers ago are let go, and not taken up again."""
        if current < self._bounds.layers:
            return
        evicted = LayerId(current - self._bounds.layers)
        if self._evicted is not None and evicted <= self._evicted:
            return
        self.touches += 1
        self._evicted = evicted
        for layer in [layer for layer in self._layers if layer <= evicted]:
            self._ascending.pop(layer, None)
            for known in self._layers.pop(layer).values():
                self._size -= known.size
                del self._by_smesher[layer, known.smesher]
