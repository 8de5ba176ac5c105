"""Settings of requests between nodes, and of catching up by them. Protocol 03b-config-and-genesis, section 4.6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from protocol.numbers.durations import HOUR, MILLISECOND, MINUTE, SECOND

from .declare import BOOLEAN, DURATION, FLOAT, INT64, UINT32, record_map, section, setting


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """How much of one protocol is served."""

    queue: int = setting("queue", INT64, 0)
    """Requests that may wait."""
    requests: int = setting("requests", INT64, 0)
    """Requests in an interval."""
    interval_ns: int = setting("interval", DURATION, 0)
    """The interval."""


_SERVERS: Mapping[str, ServerConfig] = MappingProxyType(
    {
        name: ServerConfig(queue, requests, SECOND)
        for name, queue, requests in (
            ("ax/1", 10, 1),
            ("ld/1", 1000, 100),
            ("hs/1", 2000, 200),
            ("as/1", 10, 1),
            ("mh/1", 1000, 100),
            ("ml/1", 100, 10),
            ("lp/2", 10000, 1000),
        )
    }
)


@dataclass(frozen=True, slots=True)
class DecayingTag:
    """How the value of a peer's connection fades."""

    interval_ns: int = setting("interval", DURATION, MINUTE)
    """How often it fades."""
    inc: int = setting("inc", INT64, 1000)
    """Value of one answer."""
    dec: int = setting("dec", INT64, 1000)
    """What is lost each time."""
    cap: int = setting("cap", INT64, 10000)
    """Most that a peer can have."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Requests between nodes. Protocol 03b, section 4.6."""

    batchtimeout_ns: int = setting("batchtimeout", DURATION, 50 * MILLISECOND)
    """How long requests are gathered for one message."""
    batchsize: int = setting("batchsize", INT64, 10)
    """Requests in one message."""
    queuesize: int = setting("queuesize", INT64, 20)
    """Messages that may wait."""
    maxretriesforrequest: int = setting("maxretriesforrequest", INT64, 100)
    """Peers that are asked for one object."""
    request_timeout_ns: int = setting("request-timeout", DURATION, 25 * SECOND)
    """Silence after which a request ends."""
    request_hard_timeout_ns: int = setting("request-hard-timeout", DURATION, 5 * MINUTE)
    """Longest request."""
    servers_metrics: bool = setting("servers-metrics", BOOLEAN, False)
    """Measure what is served."""
    servers: Mapping[str, ServerConfig] = setting("servers", record_map(ServerConfig), _SERVERS)
    """Queue and rate of the protocols that are served."""
    streaming: bool = setting("streaming", BOOLEAN, True)
    """Take and send long answers in pieces."""
    getatxsconcurrency: int = setting("getatxsconcurrency", INT64, 100)
    """ATXs that are fetched at once."""
    decaying_tag: DecayingTag = section("decaying-tag", DecayingTag)
    log_peer_stats_interval_ns: int = setting("log-peer-stats-interval", DURATION, 20 * MINUTE)
    """How often the log tells how peers answer."""


@dataclass(frozen=True, slots=True)
class AtxSync:
    """Catching up with activations."""

    epoch_info_request_interval_ns: int = setting("epoch-info-request-interval", DURATION, 4 * HOUR)
    """How often peers are asked which ATXs an epoch has."""
    epoch_info_peers: int = setting("epoch-info-peers", INT64, 2)
    """Peers that are asked."""
    requests_limit: int = setting("requests-limit", INT64, 10)
    """Tries for one ATX."""
    atxs_batch: int = setting("atxs-batch", INT64, 1000)
    """ATXs that are asked for at once."""
    progress_every_fraction: float = setting("progress-every-fraction", FLOAT, 0.1)
    """Part of an epoch's ATXs after which progress is logged."""
    progress_on_time_ns: int = setting("progress-on-time", DURATION, 20 * MINUTE)
    """Time after which progress is logged."""


@dataclass(frozen=True, slots=True)
class MalfeasanceSync:
    """Catching up with proofs of malfeasance."""

    id_request_interval_ns: int = setting("id-request-interval", DURATION, 30 * MINUTE)
    """How often peers are asked who was convicted."""
    malfeasance_id_peers: int = setting("malfeasance-id-peers", INT64, 3)
    """Peers that are asked."""
    min_sync_peers: int = setting("min-sync-peers", INT64, 3)
    """Peers that must have answered before it counts as done."""
    max_epoch_fraction: float = setting("max-epoch-fraction", FLOAT, 0.25)
    """Part of an epoch after which it is asked anew."""
    max_batch_size: int = setting("max-batch-size", INT64, 1000)
    """Proofs that are asked for at once."""
    requests_limit: int = setting("requests-limit", INT64, 20)
    """Tries for one proof."""
    retry_interval_ns: int = setting("retry-interval", DURATION, MINUTE)
    """Wait after peers that did not answer."""


@dataclass(frozen=True, slots=True)
class Syncer:
    """Catching up with the network. Protocol 03b, section 4.6."""

    interval_ns: int = setting("interval", DURATION, 10 * SECOND)
    """How often the node looks whether it is behind."""
    epochendfraction: float = setting("epochendfraction", FLOAT, 0.5)
    """Part of an epoch after which its ATXs are synced at once."""
    hare_delay_layers: int = setting("HareDelayLayers", UINT32, 10, by_name=True)
    """Replaced by zdist at start."""
    sync_cert_distance: int = setting("SyncCertDistance", UINT32, 10, by_name=True)
    """Replaced by hdist at start."""
    tally_votes_frequency: float = setting("TallyVotesFrequency", FLOAT, 0.25, by_name=True)
    """How often votes are counted while catching up, as a part of an epoch; 0: at its end."""
    maxstaleduration_ns: int = setting("maxstaleduration", DURATION, SECOND)
    """How long it is remembered in which layer a peer agreed."""
    standalone: bool = setting("Standalone", BOOLEAN, False, by_name=True)
    """Replaced by main.standalone at start."""
    gossipduration_ns: int = setting("gossipduration", DURATION, 15 * SECOND)
    """How long a node listens before it counts as synced."""
    disable_mesh_agreement: bool = setting("disable-mesh-agreement", BOOLEAN, False)
    """Do not look where the meshes of peers differ."""
    out_of_sync_threshold: int = setting("out-of-sync-threshold", UINT32, 3)
    """Layers behind from which a node counts as not synced."""
    atx_sync: AtxSync = section("atx-sync", AtxSync)
    malfeasance_sync: MalfeasanceSync = section("malfeasance-sync", MalfeasanceSync)
