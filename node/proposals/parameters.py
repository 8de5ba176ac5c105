"""Parameters of proposals and ballots, and every bound on what waits or is kept. Durations are in nanoseconds.

Protocol 04b, sections 4 to 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.eligibility.slots import MinimalWeight
from protocol.types.hare import MAX_PROPOSALS
from protocol.types.ids import AtxId


@dataclass(frozen=True, slots=True)
class StoreBounds:
    """How many proposals are kept."""

    layers: int
    """The current one and those before it: zdist + 1."""
    of_layer: int = MAX_PROPOSALS
    """As many as hare can agree on."""
    of_smesher: int = 4
    """In one layer. An honest smesher makes one; hare votes for none of one that made two."""
    bytes: int = 256 << 20
    """Of all of them; those that were asked for have as much again."""


@dataclass(frozen=True, slots=True)
class ProposalParameters:
    """What all nodes of a network have in common, and bounds on what a sender can make this one do."""

    golden_atx: AtxId
    """Stands for an activation where none fits; no ballot may."""
    layer_size: int
    """Proposals that are expected in a layer."""
    hdist: int
    """In so many layers votes follow hare, which comes to one block at most."""
    max_exceptions: int
    """Blocks that a ballot may support by itself."""
    minimal_weights: Sequence[MinimalWeight] = ()
    """Epochs ascending."""
    sync_weight_units: int = 800
    """Eligibilities of ballots after which their beacon is believed where ours is not known."""
    weights_kept: int = 10_000
    """Active sets whose weight is remembered."""
    missing_atxs: int = 50_000
    """ATXs of one active set that are asked for; where more are missing, sync is what brings them."""
    missing_transactions: int = 20_000
    """Transactions of one proposal that are asked for."""
    chain: int = 64
    """Ballots that are asked for one because of the other; a node that is synced misses a few."""
    sets_by_smesher: int = 2
    """Active sets that are asked for because of one smesher's ballots of an epoch. An honest one names one."""
    notes: int = 10_000
    """Of what was asked for because of what, for the two bounds before."""
    first_proofs: int = 8
    """Proofs of a ballot that are looked at first, then twice as many each time: many false ones cost little."""
    reported_epochs: int = 3
    """Epochs whose beacon is counted in ballots: the current one, one before and one ahead."""


@dataclass(frozen=True, slots=True)
class BuilderParameters:
    """How the own proposals of a network are made."""

    layer_size: int
    hdist: int
    minimal_weights: Sequence[MinimalWeight]
    grade_delay: int
    """How long it may take until an ATX, or a proof against its smesher, has reached everybody."""
    good_percent: int
    """The own view of an epoch's ATXs is trusted where more than so many percent of them came early enough."""
    window: int
    """So long before an epoch its active set is made."""
    retry_interval: int
    """0: active sets are made in the first layer of their epoch."""
    tries: int
    """0: the same."""
    transactions: int
    """For each slot of a proposal."""
    gas_limit: int
    """Of the transactions of a proposal."""
    proofs_at_once: int = 32
    """Proofs of one identity's slots that are asked for at once: others must not wait behind all of them."""
    max_slots: int = 1_000_000
    """Slots of one identity in an epoch that are proved; no network has as many."""
