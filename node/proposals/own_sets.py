"""The active set that the own ballots of an epoch name: who came early enough for everybody to have seen it.

| source, in this order | used where |
|---|---|
| the set that was published for the epoch | there is one |
| the ATXs that are graded good | they are more than so many percent of all |
| the first applied block of the epoch, and the first ballots of whom it rewards | the epoch's first layer is over |

Protocol 04b, sections 4.1 and 4.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from node.activation.columns import AtxColumns, EpochColumns, bytes_of, order_of, rows_of, total, words_of
from node.eligibility.active_set import from_first_block
from node.malfeasance.tables import PROOFS
from node.proposals.errors import NoActiveSet
from node.proposals.oracle import Fallback, RowSources
from node.proposals.tables import OwnActiveSet
from node.store.view import View
from protocol.codec.declare import IdList
from protocol.numbers.layers import NetworkTime
from protocol.types.activation import EpochActiveSet, active_set_hash
from protocol.types.ids import ID_SIZE, AtxId, EpochId, LayerId, NodeId


class Grade(Enum):
    """How sure it is that everybody sees an ATX as we do."""

    EVIL = "evil"
    ACCEPTABLE = "acceptable"
    GOOD = "good"


def grade(received: int, proof_received: int, start: int, delay: int) -> Grade:
    """The grade of an ATX, as it is specified. All in nanoseconds since 1970.

    `graded` finds the good ones of a whole epoch at once; nothing here treats the other two grades differently.

    received: 0 where a checkpoint restored it; proof_received: when the proof against its smesher came, 0: there is
    none; start: of the epoch; delay: until everybody has it.
    """
    if received < start - 4 * delay and (proof_received == 0 or proof_received >= start):
        return Grade.GOOD
    if received < start - 3 * delay and (proof_received == 0 or proof_received >= start - delay):
        return Grade.ACCEPTABLE
    return Grade.EVIL


@dataclass(frozen=True, slots=True)
class Graded:
    """The ATXs of an epoch that are good, of how many."""

    ids: IdList[AtxId]
    """Ascending."""
    weight: int
    count: int
    """All ATXs of the epoch."""

    @property
    def percent(self) -> int:
        """Of the good ones, cut off."""
        return 100 * len(self.ids) // self.count


def graded(atxs: EpochColumns, convicted: Iterable[NodeId], start: int, delay: int) -> Graded:
    """The good ATXs of an epoch. convicted: smeshers against whom a proof came before the epoch began."""
    marked = words_of(b"".join(sorted(convicted)))
    is_good = (atxs.column("received") < start - 4 * delay) & (rows_of(marked, atxs.column("node")) < 0)
    ids = atxs.column("id")[is_good]
    data = bytes_of(ids[order_of(ids)])
    return Graded(IdList(data, ID_SIZE), total(atxs.column("weight")[is_good]), len(atxs))


@dataclass(frozen=True, slots=True)
class MadeSet:
    """A set that was made: what is remembered of it, and what peers are sent."""

    own: OwnActiveSet
    active: EpochActiveSet


def make_active_set(
    view: View,
    time: NetworkTime,
    atxs: AtxColumns,
    fallback: Fallback,
    epoch: EpochId,
    current: LayerId,
    delay: int,
    good_percent: int,
) -> MadeSet:
    """The active set of an epoch, as it can be made in the layer that runs.

    delay: as for `grade`; good_percent: as in `parameters.BuilderParameters`. Raises NoActiveSet.
    """
    first = time.first_layer(epoch)
    published = fallback(view, epoch)
    if published is not None:
        return _weighed(atxs, epoch, sorted(published))
    start = time.start_ns(first)
    convicted = [node for node, proof in view.scan(PROOFS) if 0 < proof.received < start]
    found = graded(atxs.epoch(epoch), convicted, start, delay)
    if found.count == 0:
        raise NoActiveSet(f"No ATX of epoch {epoch} is known.", "empty_or_weightless")
    if found.percent > good_percent:
        return _made(epoch, found.ids, found.weight)
    if current <= first:
        raise NoActiveSet(
            f"Of {found.count} ATXs of epoch {epoch}, {len(found.ids)} came early enough, expected more than "
            f"{good_percent} percent: this node was not there when they were published.",
            "not_available_yet",
        )
    ids = from_first_block(RowSources(view, time, atxs, fallback), epoch)
    if ids is None:
        raise NoActiveSet(f"No block of epoch {epoch} is applied whose active sets are known.", "no_applied_block")
    return _weighed(atxs, epoch, ids)


def _weighed(atxs: AtxColumns, epoch: EpochId, ids: list[AtxId]) -> MadeSet:
    listed = IdList.of(ids, ID_SIZE)
    weight = atxs.weight_of(epoch, listed.data)
    if weight is None:
        raise NoActiveSet(f"An ATX of the active set of epoch {epoch} is not known.", "atx_not_in_memory")
    return _made(epoch, listed, weight)


def _made(epoch: EpochId, ids: IdList[AtxId], weight: int) -> MadeSet:
    if weight == 0:
        raise NoActiveSet(f"The active set of epoch {epoch} has no weight.", "empty_or_weightless")
    return MadeSet(OwnActiveSet(active_set_hash(ids), weight), EpochActiveSet(epoch, ids))
