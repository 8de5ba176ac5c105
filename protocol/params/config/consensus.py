"""Settings of the consensus: what all nodes of a network must agree on.

The defaults are those that every preset begins with; the networks themselves are in `networks`.
Protocol 03b-config-and-genesis, sections 4.2 to 4.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from protocol.numbers.durations import HOUR, MILLISECOND, MINUTE, SECOND

from .declare import (
    BOOLEAN,
    DIFFICULTY,
    DURATION,
    HASH20,
    INT64,
    RATIONAL,
    TEXT,
    UINT8,
    UINT16,
    UINT32,
    UINT64,
    optional,
    records,
    setting,
)

NEVER = (1 << 32) - 1
"""The layer that does not come."""


@dataclass(frozen=True, slots=True)
class WindowSizeInterval:
    """Another window while the applied layer is in a range."""

    start: int = setting("Start", UINT32, 0, by_name=True)
    """First applied layer of the range."""
    end: int = setting("End", UINT32, 0, by_name=True)
    """Last applied layer of the range."""
    window: int = setting("Window", UINT32, 0, by_name=True)
    """Layers of the window in it."""


@dataclass(frozen=True, slots=True)
class EpochMinimalActiveWeight:
    """The least weight of an active set from an epoch on."""

    epoch: int = setting("Epoch", UINT32, 0, by_name=True)
    """First epoch."""
    weight: int = setting("Weight", UINT64, 0, by_name=True)
    """Least weight from it on."""


@dataclass(frozen=True, slots=True)
class CommitteeUpgrade:
    """Another committee size from a layer on."""

    layer: int = setting("Layer", UINT32, 0, by_name=True)
    """First layer."""
    size: int = setting("Size", UINT16, 0, by_name=True)
    """Expected seats from it on."""


@dataclass(frozen=True, slots=True)
class Tortoise:
    """The tally of votes. Protocol 03b, section 4.2."""

    hdist: int = setting("tortoise-hdist", UINT32, 10)
    """Layers for which hare decides."""
    zdist: int = setting("tortoise-zdist", UINT32, 8)
    """Layers to wait for a hare result."""
    window_size: int = setting("tortoise-window-size", UINT32, 1000)
    """Layers that verifying counts votes over."""
    historical_window_size: tuple[WindowSizeInterval, ...] = setting(
        "HistoricalWindowSize", records(WindowSizeInterval), (), by_name=True
    )
    """Windows of older ranges of applied layers."""
    max_exceptions: int = setting("tortoise-max-exceptions", INT64, 5000)
    """Most exceptions in one ballot."""
    delay_layers: int = setting("tortoise-delay-layers", UINT32, 0)
    """Layers until a ballot with a bad beacon counts; 0: an epoch."""
    enable_tracer: bool = setting("tortoise-enable-tracer", BOOLEAN, False)
    """Write what tortoise is given and decides to standard error."""
    minimal_active_set_weight: tuple[EpochMinimalActiveWeight, ...] = setting(
        "MinimalActiveSetWeight", records(EpochMinimalActiveWeight), (), by_name=True
    )
    """Least weight of an active set, from an epoch on."""
    collect_details: int = setting("tortoise-collect-details", UINT32, 0)
    """Layers for which details are measured."""
    layer_size: int = setting("LayerSize", UINT32, 50, by_name=True)
    """Replaced by layer-average-size at start."""


@dataclass(frozen=True, slots=True)
class Hare:
    """Agreement on a layer's proposals, versions 3 and 4. Protocol 03b, section 4.3."""

    enable: bool = setting("enable", BOOLEAN, False)
    """Whether this version takes part."""
    enable_layer: int = setting("enable-layer", UINT32, 0)
    """First layer of this version."""
    disable_layer: int = setting("disable-layer", UINT32, NEVER)
    """First layer without this version."""
    committee: int = setting("committee", UINT16, 800)
    """Expected seats in a committee."""
    committee_upgrade: CommitteeUpgrade | None = setting(
        "CommitteeUpgrade", optional(CommitteeUpgrade), None, by_name=True
    )
    """Another committee size from a layer on."""
    leaders: int = setting("leaders", UINT16, 5)
    """Expected leaders of a propose round."""
    iterations_limit: int = setting("iterations-limit", UINT8, 4)
    """Iterations until a layer is given up."""
    preround_delay_ns: int = setting("preround-delay", DURATION, 25 * SECOND)
    """Wait for proposals before the first round."""
    round_duration_ns: int = setting("round-duration", DURATION, 12 * SECOND)
    """Length of a round."""
    log_stats: bool = setting("log-stats", BOOLEAN, False)
    """Log how each layer went."""
    protocolname: str = setting("protocolname", TEXT, "/h/3.0")
    """Gossip topic; empty on the test networks."""


@dataclass(frozen=True, slots=True)
class HareEligibility:
    """Who sits in a committee. Protocol 03b, section 4.3."""

    confidence_param: int = setting("eligibility-confidence-param", UINT32, 1)
    """Layers between the active set in use and the current epoch."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Certificates of hare's results. Protocol 03b, section 4.3."""

    committee_size: int = setting("committee-size", INT64, 0)
    """Expected seats in a committee; 0: as in hare."""
    certify_threshold: int = setting("CertifyThreshold", INT64, 0, by_name=True)
    """Computed at start: half the committee and one."""
    layer_buffer: int = setting("LayerBuffer", UINT32, 0, by_name=True)
    """Computed at start: zdist."""
    num_layers_to_keep: int = setting("NumLayersToKeep", UINT32, 0, by_name=True)
    """Computed at start: twice zdist."""


@dataclass(frozen=True, slots=True)
class Beacon:
    """The random beacon of an epoch. Protocol 03b, section 4.4."""

    kappa: int = setting("beacon-kappa", INT64, 40)
    """Security parameter of the proposal threshold."""
    q: Fraction = setting("beacon-q", RATIONAL, Fraction(1, 3))
    """Share of dishonest weight that is tolerated."""
    rounds_number: int = setting("beacon-rounds-number", UINT32, 300)
    """Voting rounds; 0: no beacon protocol at all."""
    grace_period_duration_ns: int = setting("beacon-grace-period-duration", DURATION, 2 * MINUTE)
    """How long messages are still taken after their round."""
    proposal_duration_ns: int = setting("beacon-proposal-duration", DURATION, 2 * MINUTE)
    """Length of the round in which proposals are made."""
    first_voting_round_duration_ns: int = setting("beacon-first-voting-round-duration", DURATION, HOUR)
    """Length of the first round of votes."""
    voting_round_duration_ns: int = setting("beacon-voting-round-duration", DURATION, 30 * MINUTE)
    """Length of every other round of votes."""
    weak_coin_round_duration_ns: int = setting("beacon-weak-coin-round-duration", DURATION, MINUTE)
    """Length of a round of the weak coin."""
    theta: Fraction = setting("beacon-theta", RATIONAL, Fraction(1, 4))
    """Margin of votes that decides."""
    votes_limit: int = setting("beacon-votes-limit", UINT32, 100)
    """Most proposals in one vote."""
    sync_weight_units: int = setting("beacon-sync-weight-units", INT64, 800)
    """Weight units of ballots that must agree on a beacon while syncing."""


@dataclass(frozen=True, slots=True)
class Post:
    """Rules of Proof of Space-Time. Protocol 03b, section 4.5."""

    min_numunits: int = setting("post-min-numunits", UINT32, 1)
    """Fewest space units of an identity."""
    max_numunits: int = setting("post-max-numunits", UINT32, 100)
    """Most space units of an identity."""
    labels_per_unit: int = setting("post-labels-per-unit", UINT64, 512)
    """Labels of 16 bytes in a unit."""
    k1: int = setting("post-k1", UINT64, 26)
    """Expected good labels for a nonce."""
    k2: int = setting("post-k2", UINT64, 37)
    """Labels in a proof."""
    k3: int = setting("post-k3", UINT64, 37)
    """Labels of a proof that are checked."""
    pow_difficulty: bytes = setting("post-pow-difficulty", DIFFICULTY, bytes.fromhex("ff" * 32))
    """Threshold of the proof of work of one unit, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Poet:
    """How the node deals with PoET servers. Protocol 03b, section 4.5."""

    phase_shift_ns: int = setting("phase-shift", DURATION, 0)
    """Start of a PoET round after the start of its epoch."""
    cycle_gap_ns: int = setting("cycle-gap", DURATION, 0)
    """Time between two rounds, in which proofs are made."""
    grace_period_ns: int = setting("grace-period", DURATION, 0)
    """How long before a round begins the node registers at the latest."""
    request_timeout_ns: int = setting("poet-request-timeout", DURATION, 0)
    """How long an answer of a PoET is waited for."""
    retry_delay_ns: int = setting("retry-delay", DURATION, 400 * MILLISECOND)
    """Wait before a PoET is asked again."""
    positioning_atx_selection_timeout_ns: int = setting("positioning-atx-selection-timeout", DURATION, 0)
    """How long a positioning ATX is looked for."""
    info_cache_ttl_ns: int = setting("info-cache-ttl", DURATION, 5 * MINUTE)
    """How long what a PoET says of itself is believed."""
    pow_params_cache_ttl_ns: int = setting("pow-params-cache-ttl", DURATION, 5 * MINUTE)
    """How long the parameters of a PoET's proof of work are believed."""
    retry_max: int = setting("retry-max", INT64, 10)
    """Times that a PoET is asked again."""
    proofs_cache: int = setting("poet-proofs-cache", INT64, 200)
    """Proofs of PoETs that are kept in memory."""


@dataclass(frozen=True, slots=True)
class VM:
    """The ledger. Protocol 03b, section 4.6."""

    gas_limit: int = setting("GasLimit", UINT64, 100000000, by_name=True)
    """Replaced by block-gas-limit at start."""
    genesis_id: bytes = setting("GenesisID", HASH20, bytes(20), by_name=True)
    """Computed at start."""


@dataclass(frozen=True, slots=True)
class ActiveSetPreparation:
    """When the active set of the next epoch is computed. Protocol 03b, section 4.6."""

    window_ns: int = setting("window", DURATION, SECOND)
    """Time before an epoch in which its active set is computed."""
    retry_interval_ns: int = setting("retry-interval", DURATION, SECOND)
    """Wait before it is tried again."""
    tries: int = setting("tries", INT64, 3)
    """Tries before it is made of what is there."""
