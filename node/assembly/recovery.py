"""What the tortoise is recovered from: the rows of activations, mesh, certificates, hare, beacon, malfeasance.

Protocol 06-tortoise, section 13.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.activation.tables import COLUMNS
from node.beacon.machine import BEACONS
from node.certificates import tables as certificates
from node.hare.tables import WEAK_COINS
from node.ledger import state
from node.malfeasance import tables as malfeasance
from node.mesh.tables import BALLOTS, BALLOTS_BY_SMESHER, BLOCKS, BLOCKS_BY_LAYER, MESH_HASHES, VALIDITY
from node.proposals.rules import for_tortoise
from node.store.view import BACKWARDS, Span, View
from node.tortoise.ballots import TortoiseBallot
from node.tortoise.state import AtxInfo
from protocol.types.ballots import Vote
from protocol.types.ids import Beacon, BlockId, EpochId, Hash32, LayerId, NodeId


class StoredVotes:
    """`node.tortoise.recovery.Stored` over a view."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._malicious = frozenset(malfeasance.malicious(view))

    def last_ballot_layer(self) -> LayerId:
        """The newest layer with a ballot; 0: there is none."""
        newest = next(iter(self._view.find(BALLOTS_BY_SMESHER, Span(reverse=True))), None)
        return LayerId(0) if newest is None else newest[0][0]

    def last_applied(self) -> LayerId:
        """The newest layer that the ledger has; 0: none."""
        return state.last_applied(self._view) or LayerId(0)

    def last_valid(self) -> LayerId | None:
        """The newest layer with a valid block."""
        for layer, block in self._view.find(BLOCKS_BY_LAYER, Span(reverse=True)):
            if self._view.get(VALIDITY, block):
                return layer
        return None

    def last_atx_epoch(self) -> EpochId:
        """The newest epoch in which an ATX was published."""
        newest = self._view.first(COLUMNS, BACKWARDS)
        return EpochId(0) if newest is None else EpochId(newest[0][0] - 1)

    def opinion(self, layer: LayerId) -> Hash32 | None:
        """Our opinion of a layer when its result was taken."""
        return self._view.get(MESH_HASHES, layer)

    def atxs(self, epoch: EpochId) -> Iterable[AtxInfo]:
        """The ATXs that are active in an epoch."""
        for _, row in self._view.scan(COLUMNS, Span(within=(epoch,))):
            yield AtxInfo(row.node, row.weight, row.height)

    def beacon(self, epoch: EpochId) -> Beacon | None:
        """The beacon of an epoch."""
        return self._view.get(BEACONS, epoch)

    def malicious(self) -> Iterable[NodeId]:
        """All identities that are marked."""
        return sorted(self._malicious)

    def blocks(self, layer: LayerId) -> Sequence[tuple[Vote, bool]]:
        """The blocks of a layer, and whether each was decided to be valid."""
        found = []
        for _, id in self._view.find(BLOCKS_BY_LAYER, Span(within=layer)):
            block = self._view.get(BLOCKS, id)
            assert block is not None, "an index leads to rows"
            found.append((Vote(id, layer, block.tick_height), self._view.get(VALIDITY, id) is True))
        return found

    def hare_output(self, layer: LayerId) -> BlockId | None:
        """Hare's output; None where it is not known."""
        return certificates.hare_output(self._view, layer)

    def ballots(self, layer: LayerId) -> Sequence[TortoiseBallot]:
        """The ballots of a layer, those of malicious identities left out."""
        found = []
        for (_, smesher), id in self._view.find(BALLOTS_BY_SMESHER, Span(within=(layer,))):
            if smesher not in self._malicious:
                ballot = self._view.get(BALLOTS, id)
                assert ballot is not None, "an index leads to rows"
                found.append(for_tortoise(ballot, is_malicious=False))
        return found

    def coin(self, layer: LayerId) -> bool | None:
        """The weak coin of a layer."""
        return self._view.get(WEAK_COINS, layer)
