"""Settings of a node among nodes: peers, requests, catching up.

Protocol 03b-config-and-genesis, sections 4.6 and 4.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from protocol.numbers.durations import HOUR, MILLISECOND, MINUTE, SECOND

from .declare import (
    ADDRESSES,
    BOOLEAN,
    DURATION,
    FLOAT,
    INT8,
    INT64,
    TEXT,
    TEXTS,
    UINT8,
    UINT32,
    record_map,
    section,
    setting,
)


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """How much of one protocol is served."""

    queue: int = setting("queue", INT64, 0)
    """Requests that may wait."""
    requests: int = setting("requests", INT64, 0)
    """Requests in an interval."""
    interval_ns: int = setting("interval", DURATION, 0)


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
class RelayServer:
    """Relaying for peers behind a router."""

    enable: bool = setting("enable", BOOLEAN, False)
    reservations: int = setting("reservations", INT64, 512)
    ttl_ns: int = setting("ttl", DURATION, 20 * MINUTE)
    conn_duration_limit_ns: int = setting("conn-duration-limit", DURATION, 2 * MINUTE)
    conn_data_limit: int = setting("conn-data-limit", INT64, 131072)
    max_circuits: int = setting("max-circuits", INT64, 16)
    buffer_size: int = setting("buffer-size", INT64, 2048)
    max_reservations_per_peer: int = setting("max-reservations-per-peer", INT64, 4)
    max_reservations_per_ip: int = setting("max-reservations-per-ip", INT64, 8)
    max_reservations_per_asn: int = setting("max-reservations-per-asn", INT64, 32)


@dataclass(frozen=True, slots=True)
class DiscoveryTimings:
    """How peers are looked for."""

    advertise_delay_ns: int = setting("advertise-delay", DURATION, HOUR)
    advertise_interval_ns: int = setting("advertise-interval", DURATION, 2 * HOUR)
    advertise_interval_spread_ns: int = setting("advertise-interval-spread", DURATION, HOUR)
    advertise_retry_delay_ns: int = setting("advertise-retry-delay", DURATION, MINUTE)
    find_peers_retry_delay_ns: int = setting("find-peers-retry-delay", DURATION, MINUTE)
    min_backoff_ns: int = setting("min-backoff", DURATION, MINUTE)
    max_backoff_ns: int = setting("max-backoff", DURATION, HOUR)
    min_conn_backoff_ns: int = setting("min-conn-backoff", DURATION, 10 * SECOND)
    max_conn_backoff_ns: int = setting("max-conn-backoff", DURATION, HOUR)
    dial_timeout_ns: int = setting("dial-timeout", DURATION, 2 * MINUTE)


@dataclass(frozen=True, slots=True)
class AutoNatServer:
    """Telling peers whether they can be reached."""

    global_max: int = setting("global-max", INT64, 30)
    peer_max: int = setting("peer-max", INT64, 3)
    reset_period_ns: int = setting("reset-period", DURATION, MINUTE)


@dataclass(frozen=True, slots=True)
class P2P:
    """The network of nodes. Protocol 03b, section 4.7."""

    data_dir: str = setting("DataDir", TEXT, "", by_name=True)
    log_level: int = setting("LogLevel", INT8, 0, by_name=True)
    gracepeersshutdown_ns: int = setting("gracepeersshutdown", DURATION, 30 * SECOND)
    maxmessagesize: int = setting("maxmessagesize", INT64, 2097152)
    disable_reuseport: bool = setting("disable-reuseport", BOOLEAN, False)
    disable_natport: bool = setting("disable-natport", BOOLEAN, False)
    """Do not ask a router for a port."""
    disable_connection_manager: bool = setting("disable-connection-manager", BOOLEAN, False)
    disable_resource_manager: bool = setting("disable-resource-manager", BOOLEAN, True)
    disable_dht: bool = setting("disable-dht", BOOLEAN, False)
    disable_pubsub: bool = setting("disable-pubsub", BOOLEAN, False)
    flood: bool = setting("flood", BOOLEAN, False)
    """Send own messages to all peers, not only to the mesh."""
    listen: tuple[str, ...] = setting("listen", ADDRESSES, ("/ip4/0.0.0.0/tcp/7513",))
    bootnodes: tuple[str, ...] = setting("bootnodes", TEXTS, ())
    direct: tuple[str, ...] = setting("direct", TEXTS, ())
    min_peers: int = setting("min-peers", INT64, 20)
    """Peers below which the node looks for more at once."""
    low_peers: int = setting("low-peers", INT64, 40)
    """Connections that the manager keeps."""
    high_peers: int = setting("high-peers", INT64, 100)
    """Connections above which the manager closes some."""
    inbound_fraction: float = setting("inbound-fraction", FLOAT, 0.8)
    """Part of high-peers that others may open."""
    outbound_fraction: float = setting("outbound-fraction", FLOAT, 1.1)
    """Part of high-peers that this node may open."""
    autoscale_peers: bool = setting("autoscale-peers", BOOLEAN, True)
    advertise_address: tuple[str, ...] = setting("advertise-address", ADDRESSES, ())
    accept_queue: int = setting("p2p-accept-queue", INT64, 16)
    metrics: bool = setting("p2p-metrics", BOOLEAN, False)
    bootnode: bool = setting("p2p-bootnode", BOOLEAN, False)
    reachability: str = setting("p2p-reachability", TEXT, "")
    force_dht_server: bool = setting("force-dht-server", BOOLEAN, False)
    holepunching: bool = setting("p2p-holepunching", BOOLEAN, True)
    private_network: bool = setting("p2p-private-network", BOOLEAN, False)
    relay_server: RelayServer = section("relay-server", RelayServer)
    ip4_blocklist: tuple[str, ...] = setting(
        "ip4-blocklist",
        TEXTS,
        (
            "127.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "169.254.0.0/16",
        ),
    )
    ip6_blocklist: tuple[str, ...] = setting(
        "ip6-blocklist",
        TEXTS,
        (
            "::1/128",
            "fc00::/7",
            "fe80::/10",
        ),
    )
    gossip_queue_size: int = setting("gossip-queue-size", INT64, 50000)
    gossip_peer_outbound_queue_size: int = setting("gossip-peer-outbound-queue-size", INT64, 0)
    gossip_validation_throttle: int = setting("gossip-validation-throttle", INT64, 50000)
    gossip_atx_validation_throttle: int = setting("gossip-atx-validation-throttle", INT64, 50000)
    gossip_eviction_strategy: int = setting("gossip-eviction-strategy", UINT8, 0)
    ping_peers: tuple[str, ...] = setting("ping-peers", TEXTS, ())
    ping_interval_ns: int = setting("ping-interval", DURATION, SECOND)
    relay: bool = setting("relay", BOOLEAN, False)
    static_relays: tuple[str, ...] = setting("static-relays", TEXTS, ())
    """Relays that are always used."""
    enable_tcp_transport: bool = setting("enable-tcp-transport", BOOLEAN, True)
    enable_quic_transport: bool = setting("enable-quic-transport", BOOLEAN, False)
    enable_routing_discovery: bool = setting("enable-routing-discovery", BOOLEAN, False)
    routing_discovery_advertise: bool = setting("routing-discovery-advertise", BOOLEAN, False)
    discovery_timings: DiscoveryTimings = section("discovery-timings", DiscoveryTimings)
    auto_nat_server: AutoNatServer = section("auto-nat-server", AutoNatServer)


@dataclass(frozen=True, slots=True)
class DecayingTag:
    """How the value of a peer's connection fades."""

    interval_ns: int = setting("interval", DURATION, MINUTE)
    inc: int = setting("inc", INT64, 1000)
    dec: int = setting("dec", INT64, 1000)
    cap: int = setting("cap", INT64, 10000)


@dataclass(frozen=True, slots=True)
class Fetch:
    """Requests between nodes. Protocol 03b, section 4.6."""

    batchtimeout_ns: int = setting("batchtimeout", DURATION, 50 * MILLISECOND)
    batchsize: int = setting("batchsize", INT64, 10)
    queuesize: int = setting("queuesize", INT64, 20)
    maxretriesforrequest: int = setting("maxretriesforrequest", INT64, 100)
    request_timeout_ns: int = setting("request-timeout", DURATION, 25 * SECOND)
    """Silence after which a request ends."""
    request_hard_timeout_ns: int = setting("request-hard-timeout", DURATION, 5 * MINUTE)
    """Longest request."""
    servers_metrics: bool = setting("servers-metrics", BOOLEAN, False)
    servers: Mapping[str, ServerConfig] = setting("servers", record_map(ServerConfig), _SERVERS)
    """Queue and rate of the protocols that are served."""
    streaming: bool = setting("streaming", BOOLEAN, True)
    getatxsconcurrency: int = setting("getatxsconcurrency", INT64, 100)
    decaying_tag: DecayingTag = section("decaying-tag", DecayingTag)
    log_peer_stats_interval_ns: int = setting("log-peer-stats-interval", DURATION, 20 * MINUTE)


@dataclass(frozen=True, slots=True)
class AtxSync:
    """Catching up with activations."""

    epoch_info_request_interval_ns: int = setting("epoch-info-request-interval", DURATION, 4 * HOUR)
    epoch_info_peers: int = setting("epoch-info-peers", INT64, 2)
    requests_limit: int = setting("requests-limit", INT64, 10)
    atxs_batch: int = setting("atxs-batch", INT64, 1000)
    progress_every_fraction: float = setting("progress-every-fraction", FLOAT, 0.1)
    progress_on_time_ns: int = setting("progress-on-time", DURATION, 20 * MINUTE)


@dataclass(frozen=True, slots=True)
class MalfeasanceSync:
    """Catching up with proofs of malfeasance."""

    id_request_interval_ns: int = setting("id-request-interval", DURATION, 30 * MINUTE)
    malfeasance_id_peers: int = setting("malfeasance-id-peers", INT64, 3)
    min_sync_peers: int = setting("min-sync-peers", INT64, 3)
    max_epoch_fraction: float = setting("max-epoch-fraction", FLOAT, 0.25)
    max_batch_size: int = setting("max-batch-size", INT64, 1000)
    requests_limit: int = setting("requests-limit", INT64, 20)
    retry_interval_ns: int = setting("retry-interval", DURATION, MINUTE)


@dataclass(frozen=True, slots=True)
class Syncer:
    """Catching up with the network. Protocol 03b, section 4.6."""

    interval_ns: int = setting("interval", DURATION, 10 * SECOND)
    epochendfraction: float = setting("epochendfraction", FLOAT, 0.5)
    """Part of an epoch after which its ATXs are synced at once."""
    hare_delay_layers: int = setting("HareDelayLayers", UINT32, 10, by_name=True)
    """Replaced by zdist at start."""
    sync_cert_distance: int = setting("SyncCertDistance", UINT32, 10, by_name=True)
    """Replaced by hdist at start."""
    tally_votes_frequency: float = setting("TallyVotesFrequency", FLOAT, 0.25, by_name=True)
    maxstaleduration_ns: int = setting("maxstaleduration", DURATION, SECOND)
    """How long it is remembered in which layer a peer agreed."""
    standalone: bool = setting("Standalone", BOOLEAN, False, by_name=True)
    """Replaced by main.standalone at start."""
    gossipduration_ns: int = setting("gossipduration", DURATION, 15 * SECOND)
    """How long a node listens before it counts as synced."""
    disable_mesh_agreement: bool = setting("disable-mesh-agreement", BOOLEAN, False)
    out_of_sync_threshold: int = setting("out-of-sync-threshold", UINT32, 3)
    atx_sync: AtxSync = section("atx-sync", AtxSync)
    malfeasance_sync: MalfeasanceSync = section("malfeasance-sync", MalfeasanceSync)


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Beacons and active sets from files. Protocol 03b, section 6."""

    url: str = setting("bootstrap-url", TEXT, "http://localhost:3000/bootstrap")
    """Where beacon and active set files are found."""
    version: str = setting("bootstrap-version", TEXT, "https://spacemesh.io/bootstrap.schema.json.1.0")
    data_dir: str = setting("DataDir", TEXT, "/tmp", by_name=True)
    """Replaced by data-folder at start."""
    interval_ns: int = setting("Interval", DURATION, 30 * SECOND, by_name=True)
    """Replaced by a fifth of layer-duration at start."""


@dataclass(frozen=True, slots=True)
class Peersync:
    """Whether the clock agrees with those of peers."""

    disable: bool = setting("disable", BOOLEAN, False)
    round_retry_interval_ns: int = setting("round-retry-interval", DURATION, 5 * SECOND)
    round_interval_ns: int = setting("round-interval", DURATION, 30 * MINUTE)
    round_timeout_ns: int = setting("round-timeout", DURATION, 5 * SECOND)
    max_clock_offset_ns: int = setting("max-clock-offset", DURATION, 10 * SECOND)
    max_offset_errors: int = setting("max-offset-errors", INT64, 10)
    required_responses: int = setting("required-responses", INT64, 3)


@dataclass(frozen=True, slots=True)
class Time:
    """The clock. Protocol 03b, section 4.6."""

    peersync: Peersync = section("peersync", Peersync)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Start from a checkpoint. Protocol 03b, section 7."""

    uri: str = setting("recovery-uri", TEXT, "")
    """Checkpoint file to start from."""
    layer: int = setting("recovery-layer", UINT32, 0)
    """First layer after the checkpoint."""
    preserve_own_atx: bool = setting("preserve-own-atx", BOOLEAN, True)
    """Keep own ATXs that the checkpoint lacks."""


@dataclass(frozen=True, slots=True)
class Cache:
    """Entries kept in memory. Protocol 03b, section 4.6."""

    atx_size: int = setting("atx-size", INT64, 1000)
    malfeasance_size: int = setting("malfeasance-size", INT64, 1000)
