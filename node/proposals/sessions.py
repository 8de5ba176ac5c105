"""One own identity in one epoch: its ATX, the beacon that it goes by, and in which layers its slots lie.

| state | then |
|---|---|
| opened: ATX, beacon and number of slots are known | proofs of the slots are asked for, a few at a time |
| complete: all are here | its ballots are made |
| stale: its first ballot is another one than thought | opened anew |

Everything in it follows from rows and keys. Protocol 04b, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.activation.columns import AtxColumns, AtxRow
from node.activation.tables import published
from node.eligibility.slots import MinimalWeight, minimal_weight, slot_count
from node.proposals.oracle import first_ballot
from node.proposals.tables import OwnActiveSet
from node.store.view import View
from protocol.crypto import vrf
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import VotingEligibility
from protocol.types.eligibility import voting_input
from protocol.types.ids import BallotId, Beacon, EpochId, LayerId, NodeId, VrfSignature


@dataclass(frozen=True, slots=True)
class Terms:
    """By what an identity makes its ballots in an epoch."""

    atx: AtxRow
    beacon: Beacon
    slots: int
    first: BallotId | None
    """Its first ballot of the epoch; None: there is none yet."""


def own_atx(view: View, atxs: AtxColumns, identity: NodeId, epoch: EpochId) -> AtxRow | None:
    """The ATX of an identity that counts in an epoch: of several the one that came first."""
    rows = [atxs.get(epoch, id) for id in published(view, identity, EpochId(max(0, epoch - 1)))]
    return min((row for row in rows if row is not None), key=lambda row: row.received, default=None)


def terms(
    view: View,
    time: NetworkTime,
    atx: AtxRow,
    epoch: EpochId,
    beacon: Beacon,
    own: OwnActiveSet,
    layer_size: int,
    minimal: Sequence[MinimalWeight],
) -> Terms | None:
    """The terms of an identity, by its first ballot where there is one; None where that one says nothing of its epoch.

    beacon, own: beacon and active set that a first ballot would name.
    """
    found = first_ballot(view, time, epoch, atx.id)
    if found is None:
        least = minimal_weight(minimal, epoch)
        slots = slot_count(atx.weight, own.weight, least, layer_size, time.layers_per_epoch)
        return Terms(atx, beacon, slots, None)
    id, ballot = found
    data = ballot.inner.epoch_data
    return None if data is None else Terms(atx, data.beacon, data.eligibility_count, id)


@dataclass(slots=True)
class Session:
    """The proofs of an identity in an epoch. Mutable."""

    identity: NodeId
    epoch: EpochId
    terms: Terms
    asked: int = 0
    """Slots below this one were asked for."""
    answered: int = 0
    by_layer: dict[LayerId, dict[int, VrfSignature]] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether all proofs are here."""
        return self.answered >= self.terms.slots

    def next_slots(self, at_once: int) -> range:
        """The slots to be asked for now, so that so many are under way; they count as asked for."""
        start = self.asked
        self.asked = max(start, min(self.terms.slots, self.answered + at_once))
        return range(start, self.asked)

    def alpha(self, slot: int) -> bytes:
        """What is proved for a slot."""
        return voting_input(self.terms.beacon, self.epoch, self.terms.atx.nonce, slot)

    def add(self, slot: int, proof: VrfSignature, layers_per_epoch: int) -> None:
        """A proof that was asked for."""
        self.answered += 1
        layer = LayerId(vrf.slot_layer(proof, self.epoch, layers_per_epoch))
        self.by_layer.setdefault(layer, {})[slot] = proof

    def eligibilities(self, layer: LayerId) -> tuple[VotingEligibility, ...]:
        """The slots that lie in a layer, ascending."""
        found = self.by_layer.get(layer, {})
        return tuple(VotingEligibility(slot, found[slot]) for slot in sorted(found))
