"""Which proposals of a layer a node votes for. Protocol 05-consensus, section 6."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from node.malfeasance.tables import is_malicious
from node.store.view import View
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import VotingEligibility
from protocol.types.ids import AtxId, Beacon, EpochId, LayerId, NodeId, ProposalId


class LayerProposal(Protocol):
    """A proposal that was judged and kept, as far as hare looks at it. As `node.proposals.store.KnownProposal`."""

    @property
    def id(self) -> ProposalId:
        """Its id."""

    @property
    def atx_id(self) -> AtxId:
        """The ATX by which it was made."""

    @property
    def smesher(self) -> NodeId:
        """Who made it."""

    @property
    def beacon(self) -> Beacon:
        """Of its smesher's first ballot of the epoch."""

    @property
    def is_malicious(self) -> bool:
        """Whether its smesher was known to be malicious when it came, or is by it."""

    @property
    def eligibilities(self) -> Sequence[VotingEligibility]:
        """By which it was made."""


class Proposals(Protocol):
    """The proposals that came. As `node.proposals.store.ProposalStore`."""

    def of_layer(self, layer: LayerId) -> Sequence[LayerProposal]:
        """All of a layer, in any order."""


class Heights(Protocol):
    """An ATX, as far as hare looks at it."""

    @property
    def base_height(self) -> int:
        """Ticks before it."""

    @property
    def height(self) -> int:
        """Ticks at its end."""


class Atxs(Protocol):
    """The ATXs by the epoch in which they are active, as `node.activation.columns.AtxColumns`."""

    def get(self, epoch: EpochId, id: AtxId) -> Heights | None:
        """One; None where it is not known."""

    def by_node(self, epoch: EpochId, node: NodeId) -> Sequence[Heights]:
        """Those of an identity."""


class Selection:
    """The choice of one network."""

    def __init__(self, time: NetworkTime, proposals: Proposals, atxs: Atxs) -> None:
        self._time = time
        self._proposals = proposals
        self._atxs = atxs

    def of_layer(self, layer: LayerId) -> Sequence[LayerProposal]:
        """All proposals of a layer."""
        return self._proposals.of_layer(layer)

    def votes(self, view: View, layer: LayerId, beacon: Beacon, own: Iterable[NodeId]) -> tuple[ProposalId, ...]:
        """The proposals that a node with these identities votes for, ascending.

        None without an own ATX in the layer's epoch, and none where the ATX of a proposal is not known, which says
        that we know too little.
        """
        epoch = self._time.epoch_of(layer)
        heights = [atx.height for identity in own for atx in self._atxs.by_node(epoch, identity)]
        if not heights:
            return ()
        candidates = self._proposals.of_layer(layer)
        by_atx = Counter(one.atx_id for one in candidates)
        chosen = []
        for one in candidates:
            if one.is_malicious or is_malicious(view, one.smesher) or by_atx[one.atx_id] > 1:
                continue
            atx = self._atxs.get(epoch, one.atx_id)
            if atx is None:
                return ()
            if atx.base_height < min(heights) and one.beacon == beacon:
                chosen.append(one.id)
        return tuple(sorted(chosen))
