"""Settings of a node among nodes: peers, requests, catching up.

Protocol 03b-config-and-genesis, sections 4.6 and 4.7.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.numbers.durations import HOUR, MINUTE, SECOND

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
    section,
    setting,
)


@dataclass(frozen=True, slots=True)
class RelayServer:
    """Relaying for peers behind a router."""

    enable: bool = setting("enable", BOOLEAN, False)
    """Relay for others."""
    reservations: int = setting("reservations", INT64, 512)
    """Peers that may wait behind this node."""
    ttl_ns: int = setting("ttl", DURATION, 20 * MINUTE)
    """How long a reservation lasts."""
    conn_duration_limit_ns: int = setting("conn-duration-limit", DURATION, 2 * MINUTE)
    """Longest relayed connection."""
    conn_data_limit: int = setting("conn-data-limit", INT64, 131072)
    """Bytes of a relayed connection."""
    max_circuits: int = setting("max-circuits", INT64, 16)
    """Relayed connections of a peer."""
    buffer_size: int = setting("buffer-size", INT64, 2048)
    """Bytes of a connection's buffer."""
    max_reservations_per_peer: int = setting("max-reservations-per-peer", INT64, 4)
    """Reservations of a peer."""
    max_reservations_per_ip: int = setting("max-reservations-per-ip", INT64, 8)
    """Reservations of an IP address."""
    max_reservations_per_asn: int = setting("max-reservations-per-asn", INT64, 32)
    """Reservations of a network operator."""


@dataclass(frozen=True, slots=True)
class DiscoveryTimings:
    """How peers are looked for."""

    advertise_delay_ns: int = setting("advertise-delay", DURATION, HOUR)
    """Wait before this node is advertised first."""
    advertise_interval_ns: int = setting("advertise-interval", DURATION, 2 * HOUR)
    """How often it is advertised."""
    advertise_interval_spread_ns: int = setting("advertise-interval-spread", DURATION, HOUR)
    """Random part of that."""
    advertise_retry_delay_ns: int = setting("advertise-retry-delay", DURATION, MINUTE)
    """Wait after an advertisement that failed."""
    find_peers_retry_delay_ns: int = setting("find-peers-retry-delay", DURATION, MINUTE)
    """Wait after a search for peers that failed."""
    min_backoff_ns: int = setting("min-backoff", DURATION, MINUTE)
    """Shortest wait before peers are searched again."""
    max_backoff_ns: int = setting("max-backoff", DURATION, HOUR)
    """Longest wait before peers are searched again."""
    min_conn_backoff_ns: int = setting("min-conn-backoff", DURATION, 10 * SECOND)
    """Shortest wait before a peer is dialled again."""
    max_conn_backoff_ns: int = setting("max-conn-backoff", DURATION, HOUR)
    """Longest wait before a peer is dialled again."""
    dial_timeout_ns: int = setting("dial-timeout", DURATION, 2 * MINUTE)
    """How long a peer may take to answer."""


@dataclass(frozen=True, slots=True)
class AutoNatServer:
    """Telling peers whether they can be reached."""

    global_max: int = setting("global-max", INT64, 30)
    """Peers for which reachability is tested in a period."""
    peer_max: int = setting("peer-max", INT64, 3)
    """Tests for one peer in a period."""
    reset_period_ns: int = setting("reset-period", DURATION, MINUTE)
    """The period."""


@dataclass(frozen=True, slots=True)
class P2P:
    """The network of nodes. Protocol 03b, section 4.7."""

    data_dir: str = setting("DataDir", TEXT, "", by_name=True)
    """Replaced by a folder of data-folder at start."""
    log_level: int = setting("LogLevel", INT8, 0, by_name=True)
    """Replaced by logging.p2p at start."""
    gracepeersshutdown_ns: int = setting("gracepeersshutdown", DURATION, 30 * SECOND)
    """How long a new connection is not closed for want of room."""
    maxmessagesize: int = setting("maxmessagesize", INT64, 2097152)
    """Bytes of the largest gossip message."""
    disable_reuseport: bool = setting("disable-reuseport", BOOLEAN, False)
    """Dial from another port than the one that is listened on."""
    disable_natport: bool = setting("disable-natport", BOOLEAN, False)
    """Do not ask a router for a port."""
    disable_connection_manager: bool = setting("disable-connection-manager", BOOLEAN, False)
    """Never close connections because there are many."""
    disable_resource_manager: bool = setting("disable-resource-manager", BOOLEAN, True)
    """Set no limits to what peers may use in all."""
    disable_dht: bool = setting("disable-dht", BOOLEAN, False)
    """Find no peers by the distributed hash table."""
    disable_pubsub: bool = setting("disable-pubsub", BOOLEAN, False)
    """Take no part in gossip."""
    flood: bool = setting("flood", BOOLEAN, False)
    """Send own messages to all peers, not only to the mesh."""
    listen: tuple[str, ...] = setting("listen", ADDRESSES, ("/ip4/0.0.0.0/tcp/7513",))
    """Addresses on which peers are awaited."""
    bootnodes: tuple[str, ...] = setting("bootnodes", TEXTS, ())
    """Peers that are asked for others first."""
    direct: tuple[str, ...] = setting("direct", TEXTS, ())
    """Peers that are always kept and always gossiped to; to be set on both sides."""
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
    """Keep more connections where memory allows."""
    advertise_address: tuple[str, ...] = setting("advertise-address", ADDRESSES, ())
    """Addresses that peers are told instead of those found."""
    accept_queue: int = setting("p2p-accept-queue", INT64, 16)
    """Incoming connections that may wait for their handshake."""
    metrics: bool = setting("p2p-metrics", BOOLEAN, False)
    """Measure traffic by protocol and peer."""
    bootnode: bool = setting("p2p-bootnode", BOOLEAN, False)
    """Be a node that others ask for peers first."""
    reachability: str = setting("p2p-reachability", TEXT, "")
    """Whether others can reach this node: public, private, or nothing, and it finds out."""
    force_dht_server: bool = setting("force-dht-server", BOOLEAN, False)
    """Answer questions of the distributed hash table, however reachable this node is."""
    holepunching: bool = setting("p2p-holepunching", BOOLEAN, True)
    """Connect directly to peers behind a router where it works."""
    private_network: bool = setting("p2p-private-network", BOOLEAN, False)
    """Take private addresses for reachable ones."""
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
    """IPv4 networks that are not dialled."""
    ip6_blocklist: tuple[str, ...] = setting(
        "ip6-blocklist",
        TEXTS,
        (
            "::1/128",
            "fc00::/7",
            "fe80::/10",
        ),
    )
    """IPv6 networks that are not dialled."""
    gossip_queue_size: int = setting("gossip-queue-size", INT64, 50000)
    """Gossip messages that may wait to be judged."""
    gossip_peer_outbound_queue_size: int = setting("gossip-peer-outbound-queue-size", INT64, 0)
    """Gossip messages that may wait for a peer; 0: as the library has it."""
    gossip_validation_throttle: int = setting("gossip-validation-throttle", INT64, 50000)
    """Gossip messages that are judged at once."""
    gossip_atx_validation_throttle: int = setting("gossip-atx-validation-throttle", INT64, 50000)
    """ATXs of gossip that are judged at once."""
    gossip_eviction_strategy: int = setting("gossip-eviction-strategy", UINT8, 0)
    """How long seen messages are remembered: 0 from the first time, 1 from the last."""
    ping_peers: tuple[str, ...] = setting("ping-peers", TEXTS, ())
    """Peers that are pinged all the time, to measure the way to them."""
    ping_interval_ns: int = setting("ping-interval", DURATION, SECOND)
    """How often."""
    relay: bool = setting("relay", BOOLEAN, False)
    """Be reachable through relays."""
    static_relays: tuple[str, ...] = setting("static-relays", TEXTS, ())
    """Relays that are always used."""
    enable_tcp_transport: bool = setting("enable-tcp-transport", BOOLEAN, True)
    """Connect by TCP."""
    enable_quic_transport: bool = setting("enable-quic-transport", BOOLEAN, False)
    """Connect by QUIC."""
    enable_routing_discovery: bool = setting("enable-routing-discovery", BOOLEAN, False)
    """Find peers by what they advertise in the distributed hash table."""
    routing_discovery_advertise: bool = setting("routing-discovery-advertise", BOOLEAN, False)
    """Advertise this node there."""
    discovery_timings: DiscoveryTimings = section("discovery-timings", DiscoveryTimings)
    auto_nat_server: AutoNatServer = section("auto-nat-server", AutoNatServer)


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Beacons and active sets from files. Protocol 03b, section 6."""

    url: str = setting("bootstrap-url", TEXT, "http://localhost:3000/bootstrap")
    """Where beacon and active set files are found."""
    version: str = setting("bootstrap-version", TEXT, "https://spacemesh.io/bootstrap.schema.json.1.0")
    """What such a file has to say of itself."""
    data_dir: str = setting("DataDir", TEXT, "/tmp", by_name=True)
    """Replaced by data-folder at start."""
    interval_ns: int = setting("Interval", DURATION, 30 * SECOND, by_name=True)
    """Replaced by a fifth of layer-duration at start."""


@dataclass(frozen=True, slots=True)
class Peersync:
    """Whether the clock agrees with those of peers."""

    disable: bool = setting("disable", BOOLEAN, False)
    """Do not compare."""
    round_retry_interval_ns: int = setting("round-retry-interval", DURATION, 5 * SECOND)
    """Wait after a comparison that failed."""
    round_interval_ns: int = setting("round-interval", DURATION, 30 * MINUTE)
    """How often clocks are compared."""
    round_timeout_ns: int = setting("round-timeout", DURATION, 5 * SECOND)
    """How long answers are waited for."""
    max_clock_offset_ns: int = setting("max-clock-offset", DURATION, 10 * SECOND)
    """Difference from the median of peers from which it is a fault."""
    max_offset_errors: int = setting("max-offset-errors", INT64, 10)
    """Faults in a row after which the original ends; here the operator is warned."""
    required_responses: int = setting("required-responses", INT64, 3)
    """Answers that a comparison needs."""


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
    """ATXs kept in memory."""
    malfeasance_size: int = setting("malfeasance-size", INT64, 1000)
    """Proofs of malfeasance kept in memory."""
