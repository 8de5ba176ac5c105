"""The active set of a layer: whose ATXs take part in its committee, with what weight.

| source, in this order | used where |
|---|---|
| the published fallback of the epoch | there is one |
| the first applied block of the epoch: its rewarded ATXs, and the active sets of their first ballots | all is known |
| the active sets of all first ballots of the epoch that have our beacon | else |

At the start of an epoch the set of the epoch before is used. Protocol 05-consensus, section 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from node.eligibility.errors import EligibilityError
from node.store.view import View
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import AtxId, Beacon, EpochId, Hash32, LayerId, NodeId


@dataclass(frozen=True, slots=True)
class FirstBallot:
    """The first ballot of a smesher in an epoch."""

    atx_id: AtxId
    beacon: Beacon | None
    """None: it says nothing about the epoch."""
    active_set_hash: Hash32 | None


@dataclass(frozen=True, slots=True)
class Member:
    """One smesher of an active set."""

    atx_id: AtxId
    weight: int


@dataclass(frozen=True, slots=True)
class ActiveSet:
    """Who takes part."""

    members: Mapping[NodeId, Member]
    total: int
    """Weight of all members; malicious ones are not left out."""


class Sources(Protocol):
    """What an active set is made from."""

    def fallback(self, epoch: EpochId) -> Sequence[AtxId] | None:
        """The set that was published for an epoch, as it came first; an empty one counts, too."""

    def first_rewards(self, epoch: EpochId) -> Sequence[AtxId] | None:
        """The rewarded ATXs of the first applied block of an epoch that is not empty; None where there is none."""

    def first_ballot(self, epoch: EpochId, atx_id: AtxId) -> FirstBallot | None:
        """The first ballot of an ATX in an epoch."""

    def first_ballots(self, epoch: EpochId) -> Iterable[FirstBallot]:
        """The first ballots of all smeshers in an epoch."""

    def active_set(self, hash: Hash32) -> Sequence[AtxId] | None:
        """A set that ballots name by its hash."""

    def beacon(self, epoch: EpochId) -> Beacon | None:
        """Our beacon of an epoch."""

    def atx(self, epoch: EpochId, id: AtxId) -> tuple[NodeId, int] | None:
        """Smesher and weight of an ATX that is active in an epoch."""


class Oracle(Protocol):
    """Who takes part in a layer: what hare and certificates ask of whoever keeps the sets."""

    def active_set(self, view: View, layer: LayerId) -> ActiveSet:
        """Raises EligibilityError: beacon_missing, empty_active_set, missing_atx."""


def target_epoch(time: NetworkTime, confidence: int, layer: LayerId) -> EpochId:
    """The epoch whose set counts in a layer. Raises EligibilityError (empty_active_set).

    confidence: layers at the start of an epoch in which the set of the one before counts.
    """
    if layer <= time.effective_genesis:
        raise EligibilityError(f"Layer {layer} belongs to the genesis, which has no active set.", "empty_active_set")
    epoch, first = time.epoch_of(layer), time.epoch_of(time.effective_genesis + 1)
    return EpochId(epoch - 1) if epoch > first and time.ordinal_in_epoch(layer) < confidence else epoch


def active_ids(sources: Sources, epoch: EpochId) -> Sequence[AtxId]:
    """The ATXs of an epoch's set, each once. Raises EligibilityError (beacon_missing, empty_active_set)."""
    found: Sequence[AtxId] | None = sources.fallback(epoch)
    if found is None:
        found = from_first_block(sources, epoch)
        if found is None:
            found = _from_ballots(sources, epoch)
    if not found:
        raise EligibilityError(f"Nothing says who is active in epoch {epoch}.", "empty_active_set")
    return found


def from_first_block(sources: Sources, epoch: EpochId) -> list[AtxId] | None:
    """The ATXs of an epoch's first applied block and of the sets of their first ballots; None where one is missing."""
    rewarded = sources.first_rewards(epoch)
    if rewarded is None:
        return None
    hashes: dict[Hash32, None] = {}  # most ballots name the same set, which may have millions of ids
    for atx_id in rewarded:
        ballot = sources.first_ballot(epoch, atx_id)
        if ballot is None or ballot.active_set_hash is None:
            return None
        hashes[ballot.active_set_hash] = None
    ids = dict.fromkeys(rewarded)
    for hash in hashes:
        named = sources.active_set(hash)
        if named is None:
            return None
        ids.update(dict.fromkeys(named))
    return sorted(ids)


def _from_ballots(sources: Sources, epoch: EpochId) -> list[AtxId]:
    beacon = sources.beacon(epoch)
    if beacon is None:
        raise EligibilityError(f"The beacon of epoch {epoch} is not known.", "beacon_missing")
    hashes: dict[Hash32, None] = {}
    for ballot in sources.first_ballots(epoch):
        if ballot.beacon == beacon and ballot.active_set_hash is not None:
            hashes[ballot.active_set_hash] = None
    ids: dict[AtxId, None] = {}
    for hash in hashes:
        ids.update(dict.fromkeys(sources.active_set(hash) or ()))
    return sorted(ids)


def active_set(sources: Sources, epoch: EpochId) -> ActiveSet:
    """The set of an epoch. Of a smesher with several ATXs in it, the last one counts.

    Raises EligibilityError: beacon_missing, empty_active_set, missing_atx.
    """
    members: dict[NodeId, Member] = {}
    for id in active_ids(sources, epoch):
        found = sources.atx(epoch, id)
        if found is None:
            raise EligibilityError(f"ATX {id.hex()} of the active set of epoch {epoch} is not known.", "missing_atx")
        members[found[0]] = Member(id, found[1])
    return ActiveSet(members, sum(member.weight for member in members.values()))
