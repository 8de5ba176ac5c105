"""What was asked for because of what, so that no sender makes us ask without end.

A ballot names others, and those again: everybody can sign a chain of them that never ends. A first ballot names an
active set of many megabytes. Both are bounded here. A note is no more than a bound's: it is forgotten when there are
too many, and taken in steps that may come to nothing, which does no harm.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from node.proposals.errors import BallotIgnored
from node.proposals.parameters import ProposalParameters
from protocol.types.ids import EpochId, Hash32, NodeId


class Asked:
    """The notes of one node. Mutable."""

    def __init__(self, parameters: ProposalParameters) -> None:
        self._parameters = parameters
        self._depths: OrderedDict[bytes, int] = OrderedDict()
        self._sets: OrderedDict[tuple[EpochId, NodeId], frozenset[Hash32]] = OrderedDict()

    def ballots(self, because: bytes | None, wanted: Sequence[bytes]) -> None:
        """Ballots are asked for, because another one names them that was itself asked for, or came by itself (None).

        Raises BallotIgnored (too_deep), with nothing noted.
        """
        depth = 1 if because is None else self._depths.get(because, 0) + 1
        if depth > self._parameters.chain:
            raise BallotIgnored(
                f"{depth} ballots were asked for one because of the other, at most {self._parameters.chain} are.",
                "too_deep",
            )
        for id in wanted:
            self._depths[id] = min(depth, self._depths.get(id, depth))
            self._depths.move_to_end(id)
            if len(self._depths) > self._parameters.notes:
                self._depths.popitem(last=False)

    def active_set(self, epoch: EpochId, smesher: NodeId, hash: Hash32) -> None:
        """The active set of a smesher's first ballot of an epoch is asked for.

        Raises BallotIgnored (too_many_active_sets), with nothing noted.
        """
        known = self._sets.get((epoch, smesher), frozenset())
        named = known | {hash}
        if len(named) > self._parameters.sets_by_smesher:
            raise BallotIgnored(
                f"First ballots of smesher {smesher.hex()} name {len(named)} active sets in epoch {epoch}.",
                "too_many_active_sets",
            )
        self._sets[epoch, smesher] = named
        self._sets.move_to_end((epoch, smesher))
        if len(self._sets) > self._parameters.notes:
            self._sets.popitem(last=False)
