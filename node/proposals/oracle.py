"""Who takes part in a layer, as the stored ballots, blocks and active sets say: what hare and certificates ask.

A set is made once for its epoch and kept, so that all rounds of a session count the same weights. Members are columns:
a million of them take a tenth of a second and 40 megabytes. Protocol 05-consensus, section 2.2.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from node.activation.columns import AtxColumns, bytes_of, order_of, row_of, total, words_of
from node.beacon.machine import BEACONS
from node.eligibility.active_set import ActiveSet, FirstBallot, Member, active_ids, target_epoch
from node.eligibility.errors import EligibilityError
from node.ledger.tables import LAYERS
from node.mesh.tables import BALLOTS, BALLOTS_BY_ATX, BALLOTS_BY_SMESHER, BLOCKS
from node.proposals.tables import ACTIVE_SETS
from node.store.view import Span, View
from protocol.codec.id_list import joined
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import Ballot
from protocol.types.ids import EMPTY_BLOCK_ID, ID_SIZE, AtxId, BallotId, Beacon, EpochId, Hash32, LayerId, NodeId

Fallback = Callable[[View, EpochId], Sequence[AtxId] | None]
"""The active set that was published for an epoch, as it came first; None where there is none."""
Words = np.ndarray[Any, np.dtype[np.uint64]]

ASKED_KEPT = 4096
"""Members that a set keeps as objects, of those asked for one by one."""


def layers_of(time: NetworkTime, epoch: EpochId) -> tuple[LayerId, LayerId]:
    """The first and the last layer of an epoch."""
    first = time.first_layer(epoch)
    return first, LayerId(first + time.layers_per_epoch - 1)


def first_ballot(view: View, time: NetworkTime, epoch: EpochId, atx_id: AtxId) -> tuple[BallotId, Ballot] | None:
    """The first ballot of an ATX in an epoch."""
    first, last = layers_of(time, epoch)
    span = Span(within=(atx_id,), start=(atx_id, first), last=(atx_id, last))
    return next(view.find_rows(BALLOTS_BY_ATX, span), None)


def last_ballot_layer(view: View, time: NetworkTime, epoch: EpochId, atx_id: AtxId) -> LayerId | None:
    """The layer of the last ballot of an ATX in an epoch."""
    first, last = layers_of(time, epoch)
    span = Span(within=(atx_id,), start=(atx_id, first), last=(atx_id, last), reverse=True)
    return next((layer for (_, layer), _ in view.find(BALLOTS_BY_ATX, span)), None)


class RowSources:
    """What active sets are made from, as a view has it."""

    def __init__(self, view: View, time: NetworkTime, atxs: AtxColumns, fallback: Fallback) -> None:
        self._view = view
        self._time = time
        self._atxs = atxs
        self._fallback = fallback

    def fallback(self, epoch: EpochId) -> Sequence[AtxId] | None:
        """As Sources says."""
        return self._fallback(self._view, epoch)

    def first_rewards(self, epoch: EpochId) -> Sequence[AtxId] | None:
        """As Sources says."""
        first, last = layers_of(self._time, epoch)
        for _, applied in self._view.scan(LAYERS, Span(start=first, last=last)):
            if applied.block != EMPTY_BLOCK_ID:
                block = self._view.get(BLOCKS, applied.block)
                return None if block is None else [reward.atx_id for reward in block.rewards]
        return None

    def first_ballot(self, epoch: EpochId, atx_id: AtxId) -> FirstBallot | None:
        """As Sources says."""
        found = first_ballot(self._view, self._time, epoch, atx_id)
        return None if found is None else _first(found[1])

    def first_ballots(self, epoch: EpochId) -> Iterable[FirstBallot]:
        """As Sources says."""
        first, last = layers_of(self._time, epoch)
        seen: dict[NodeId, BallotId] = {}
        for (_, smesher), id in self._view.find(BALLOTS_BY_SMESHER, Span(start=(first,), last=(last,))):
            seen.setdefault(smesher, id)
        for id in seen.values():
            ballot = self._view.get(BALLOTS, id)
            assert ballot is not None, "an index leads to rows"
            yield _first(ballot)

    def active_set(self, hash: Hash32) -> Sequence[AtxId] | None:
        """As Sources says."""
        found = self._view.get(ACTIVE_SETS, hash)
        return None if found is None else found.set

    def beacon(self, epoch: EpochId) -> Beacon | None:
        """As Sources says."""
        return self._view.get(BEACONS, epoch)

    def atx(self, epoch: EpochId, id: AtxId) -> tuple[NodeId, int] | None:
        """As Sources says."""
        found = self._atxs.get(epoch, id)
        return None if found is None else (found.node, found.weight)


def _first(ballot: Ballot) -> FirstBallot:
    data = ballot.inner.epoch_data
    if data is None:
        return FirstBallot(ballot.inner.atx_id, None, None)
    return FirstBallot(ballot.inner.atx_id, data.beacon, data.active_set_hash)


class Members(Mapping[NodeId, Member]):
    """The members of an active set, in columns by smesher. Immutable."""

    def __init__(self, nodes: Words, ids: Words, weights: Words) -> None:
        """One row for each ATX, in the order of the set. Of a smesher with several ATXs the last one counts."""
        order = order_of(nodes)
        ordered = nodes[order]
        is_last = np.ones(len(ordered), bool)
        is_last[:-1] = (ordered[1:] != ordered[:-1]).any(axis=1)
        rows = order[is_last]
        self._nodes, self._ids, self._weights = nodes[rows], ids[rows], weights[rows]
        self._asked: dict[NodeId, Member | None] = {}
        """What was found: those that have seats are asked for in every round."""

    @property
    def weight(self) -> int:
        """Of all members."""
        return total(self._weights)

    def __getitem__(self, node: NodeId) -> Member:
        found: Member | None = self.get(node)
        if found is None:
            raise KeyError(node)
        return found

    def get(self, node: NodeId, default: Any = None) -> Any:
        """As Mapping says."""
        if node not in self._asked:
            row = row_of(self._nodes, node)
            if len(self._asked) >= ASKED_KEPT:
                self._asked.clear()
            self._asked[node] = (
                None if row is None else Member(AtxId(bytes_of(self._ids[row])), int(self._weights[row]))
            )
        found = self._asked[node]
        return default if found is None else found

    def __contains__(self, node: object) -> bool:
        return self.get(node) is not None  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[NodeId]:
        return (NodeId(bytes_of(node)) for node in self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)


class ActiveSetOracle:
    """The active sets of recent epochs. Mutable."""

    def __init__(
        self, time: NetworkTime, confidence: int, atxs: AtxColumns, fallback: Fallback, epochs_kept: int = 5
    ) -> None:
        """confidence: layers at the start of an epoch in which the set of the one before counts."""
        self._time = time
        self._confidence = confidence
        self._atxs = atxs
        self._fallback = fallback
        self._epochs_kept = epochs_kept
        self._made: OrderedDict[EpochId, ActiveSet] = OrderedDict()
        self.touches = 0

    def active_set(self, view: View, layer: LayerId) -> ActiveSet:
        """Who takes part in a layer. Raises EligibilityError: beacon_missing, empty_active_set, missing_atx."""
        epoch = target_epoch(self._time, self._confidence, layer)
        made = self._made.get(epoch)
        if made is None:
            made = self._make(view, epoch)
            self._made[epoch] = made
            if len(self._made) > self._epochs_kept:
                self._made.popitem(last=False)
        self._made.move_to_end(epoch)
        return made

    def known(self, epoch: EpochId) -> ActiveSet | None:
        """The set of an epoch, where it was made and not let go."""
        return self._made.get(epoch)

    def forget(self) -> None:
        """The node is synced now: what it had made before may lack what has come since."""
        self.touches += 1
        self._made.clear()

    def _make(self, view: View, epoch: EpochId) -> ActiveSet:
        ids = active_ids(RowSources(view, self._time, self._atxs, self._fallback), epoch)
        columns = self._atxs.epoch(epoch)
        data = joined(ids)
        rows = columns.find_all(data)
        if int(rows.min()) < 0:
            missing = data[int(np.argmin(rows)) * ID_SIZE :][:ID_SIZE]
            raise EligibilityError(
                f"ATX {missing.hex()} of the active set of epoch {epoch} is not known.", "missing_atx"
            )
        members = Members(columns.column("node")[rows], words_of(data), columns.column("weight")[rows])
        return ActiveSet(members, members.weight)
