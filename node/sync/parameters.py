"""Numbers of catching up. Protocol 09a, section 5.1."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.numbers.durations import HOUR, MILLISECOND, MINUTE, SECOND


@dataclass(frozen=True, slots=True)
class ListParameters:
    """Of objects whose ids peers list."""

    list_interval: int
    """Between questions for a list; nanoseconds."""
    list_peers: int
    """Peers whose lists are asked for."""
    max_tries: int
    """Then an object counts as not to be had."""
    max_tries_unknown: int = 2
    """The same where nobody has it, not even who named it."""
    batch: int = 1000
    """Objects that are asked for before what came of it is noted."""
    max_retried: int = 100_000
    """So many that did not come are remembered."""
    max_unknown: int = 1000
    """A list with more objects that nobody has, not even whoever sent it, is let go."""


@dataclass(frozen=True, slots=True)
class AtxSyncParameters(ListParameters):
    """Of activations; a list is that of an epoch."""

    list_interval: int = 4 * HOUR
    list_peers: int = 2
    max_tries: int = 10
    first_interval: int = SECOND
    """As list_interval, until a list came."""
    at_once: int = 100
    """Of a batch, those that are asked for at the same time."""
    retry_pause: int = SECOND
    """Before those that did not come are asked for again; nanoseconds."""


@dataclass(frozen=True, slots=True)
class MalfeasanceSyncParameters(ListParameters):
    """Of proofs of malfeasance; a list names their identities."""

    list_interval: int = 30 * MINUTE
    list_peers: int = 3
    max_tries: int = 20
    retry_interval: int = MINUTE
    """As list_interval, before the node is synced with enough peers."""
    min_peers: int = 3
    """So many lists must be complete here before the first time is over."""
    patient_rounds: int = 10
    """After so many rounds one list is enough: with few peers a node would never start."""
    max_epoch_fraction: float = 0.25
    """Of an epoch: a sync that is longer ago is done again at start."""


@dataclass(frozen=True, slots=True)
class SyncParameters:
    """Of one network and one node."""

    hare_delay_layers: int
    """A layer of which hare is in charge is left alone for so many layers: zdist."""
    certificate_distance: int
    """Layers in which certificates count: hdist."""
    interval: int = 10 * SECOND
    """Between two runs; nanoseconds."""
    epoch_end_fraction: float = 0.5
    """After this part of an epoch its own activations are got beside the runs, until then those of the one before."""
    gossip_duration: int = 15 * SECOND
    """So long a node that is up to date listens before it takes part; nanoseconds."""
    out_of_sync_layers: int = 3
    """So many layers behind, a node is not synced."""
    max_stale: int = SECOND
    """So long it is remembered where a peer agreed with us; nanoseconds."""
    has_mesh_agreement: bool = True
    """Whether the hash of the mesh is compared with those of peers."""
    tally_fraction: float = 0.25
    """Votes are counted after this part of an epoch's layers; 0: after each layer."""
    is_standalone: bool = False
    """Whether there are no peers by intent."""
    peers: int = 5
    """Peers that are asked for a layer at the same time."""
    timeout: int = 25 * SECOND
    """Of a question to a peer; nanoseconds."""
    list_timeout: int = MINUTE
    """Of one for a list of ids, which may be long; nanoseconds."""
    objects_at_once: int = 200
    """Ballots or blocks that are asked for at the same time."""
    layer_tries: int = 3
    """After so many runs a layer is passed over in which ballots are still missing."""
    max_missing_blocks: int = 1000
    """Missing blocks that are asked for at once."""
    ids_of_step: int = 5_000
    """Ids of a list that are looked up in one step."""
    step_pause: int = MILLISECOND
    """Between steps of a long run, so that nothing else waits for it; nanoseconds."""
    max_resynced: int = 1000
    """Hashes of peers that are remembered as followed."""
    atxs: AtxSyncParameters = field(default_factory=AtxSyncParameters)
    malfeasance: MalfeasanceSyncParameters = field(default_factory=MalfeasanceSyncParameters)
