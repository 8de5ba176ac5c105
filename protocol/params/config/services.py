"""Settings of the program itself: folders, identity of the network, listeners, smeshing, logs.

Protocol 03b-config-and-genesis, sections 4.1, 4.5 and 4.8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from protocol.numbers.durations import HOUR, MINUTE, SECOND
from protocol.numbers.time import ZERO_TIME, Time
from protocol.params import genesis

from .declare import (
    ATX_VERSIONS,
    BALANCES,
    BOOLEAN,
    DURATION,
    HEADERS,
    INT64,
    INTEGERS,
    NOTHING,
    OLD_POET_SERVER,
    POW_FLAGS,
    PROVIDER,
    PUBLIC_KEY,
    TEXT,
    TEXTS,
    TIME,
    UINT32,
    UINT64,
    records,
    section,
    setting,
)

UNSET_TIME = ZERO_TIME
"""A genesis time that nobody has given yet."""


@dataclass(frozen=True, slots=True)
class PoetServer:
    """A PoET server and the key that signs its answers."""

    address: str = setting("address", TEXT, "")
    """URL of the server."""
    pubkey: bytes = setting("pubkey", PUBLIC_KEY, b"")
    """Key that signs its rounds, 32 bytes."""


@dataclass(frozen=True, slots=True)
class DbQueryCacheSizes:
    """Entries kept of some queries."""

    epoch_atxs: int = setting("epoch-atxs", INT64, 20)
    """Epochs whose ATX ids are kept."""
    atx_blob: int = setting("atx-blob", INT64, 10000)
    """ATXs that are kept."""
    active_set_blob: int = setting("active-set-blob", INT64, 200)
    """Active sets that are kept."""


@dataclass(frozen=True, slots=True)
class Main:
    """The node as a whole. Protocol 03b, section 4.1."""

    data_folder: str = setting("data-folder", TEXT, "~/spacemesh")
    """Folder of all data of the node."""
    filelock: str = setting("filelock", TEXT, "/tmp/spacemesh.lock")
    """File that keeps a second node off the same data."""
    standalone: bool = setting("standalone", BOOLEAN, False)
    """A network of this one node, with a PoET inside."""
    metrics: bool = setting("metrics", BOOLEAN, False)
    """Serve Prometheus metrics at /metrics."""
    metrics_port: int = setting("metrics-port", INT64, 1010)
    """Port of the metrics."""
    profiler_name: str = setting("profiler-name", TEXT, "go-spacemesh")
    """Name under which a profile is sent."""
    profiler_url: str = setting("profiler-url", TEXT, "")
    """Server of continuous profiling; empty: none."""
    layer_duration_ns: int = setting("layer-duration", DURATION, 30 * SECOND)
    """Length of a layer."""
    layer_average_size: int = setting("layer-average-size", UINT32, 0)
    """Expected proposals in a layer."""
    layers_per_epoch: int = setting("layers-per-epoch", UINT32, 3)
    """Layers in an epoch."""
    poet_server: None = setting("poet-server", OLD_POET_SERVER, None)
    """The old key, refused with a hint."""
    poet_servers: tuple[PoetServer, ...] = setting("poet-servers", records(PoetServer), ())
    """PoET servers at which activations register."""
    pprof_server: bool = setting("pprof-server", BOOLEAN, False)
    """Serve profiles of the running program."""
    pprof_listener: str = setting("pprof-listener", TEXT, "localhost:6060")
    """Address of the profiles."""
    pprof_mutex_profile: bool = setting("pprof-mutex-profile", BOOLEAN, False)
    """Profile waits for locks."""
    pprof_block_profile: bool = setting("pprof-block-profile", BOOLEAN, False)
    """Profile waits for anything."""
    txs_per_proposal: int = setting("txs-per-proposal", INT64, 100)
    """Most transactions in a proposal."""
    block_gas_limit: int = setting("block-gas-limit", UINT64, (1 << 64) - 1)
    """Gas of a block."""
    optimistic_filtering_threshold: int = setting("optimistic-filtering-threshold", INT64, 90)
    """Percent of proposals that must share a state root before a block is built optimistically."""
    tick_size: int = setting("tick-size", UINT64, 100)
    """PoET leaves in a tick."""
    db_connections: int = setting("db-connections", INT64, 16)
    """Connections to the state database."""
    db_latency_metering: bool = setting("db-latency-metering", BOOLEAN, False)
    """Measure how long each query takes."""
    db_size_metering_interval_ns: int = setting("db-size-metering-interval", DURATION, 10 * MINUTE)
    """How often the size of the database is measured."""
    db_prune_interval_ns: int = setting("db-prune-interval", DURATION, 30 * MINUTE)
    """How often what is no longer needed is removed."""
    db_vacuum_state: int = setting("db-vacuum-state", INT64, 0)
    """State schema version after whose migration the database is compacted."""
    db_skip_migrations: tuple[int, ...] = setting("db-skip-migrations", INTEGERS, ())
    """Migrations of the state database that are left out."""
    db_query_cache: bool = setting("db-query-cache", BOOLEAN, False)
    """Keep answers of some queries in memory."""
    db_query_cache_sizes: DbQueryCacheSizes = section("db-query-cache-sizes", DbQueryCacheSizes)
    db_allow_schema_drift: bool = setting("db-allow-schema-drift", BOOLEAN, False)
    """Start though the schema of the database is not the expected one."""
    prune_activesets_from: int = setting("prune-activesets-from", UINT32, 0)
    """Epoch from which old active sets are removed."""
    network_hrp: str = setting("network-hrp", TEXT, "sm")
    """Prefix of the addresses of this network."""
    miner_good_atxs_percent: int = setting("miner-good-atxs-percent", INT64, 0)
    """Percent of ATXs that must have arrived in time before their set is used; 0 means 90."""
    regossip_atx_interval_ns: int = setting("regossip-atx-interval", DURATION, 0)
    """How often own ATXs are sent again; 0 never."""
    atx_grade_delay_ns: int = setting("atx-grade-delay", DURATION, 10 * SECOND)
    """Delay with which an ATX is graded."""
    post_valid_delay_ns: int = setting("post-valid-delay", DURATION, 12 * HOUR)
    """Age after which a PoST counts as valid unless somebody proves otherwise."""
    no_main_override: bool = setting("no-main-override", BOOLEAN, False)
    """Refuse other parameters on the main network."""
    atx_versions: Mapping[int, int] = setting("atx-versions", ATX_VERSIONS, NOTHING)
    """Publish epoch to the ATX version that begins with it."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """The network's identity and first coins. Protocol 03b, section 1."""

    time: Time = setting("genesis-time", TIME, UNSET_TIME)
    """Start of layer 0."""
    extra_data: str = setting("genesis-extra-data", TEXT, "mainnet")
    """Text that makes the network unique, 1 to 255 bytes."""
    accounts: Mapping[str, int] = setting("accounts", BALANCES, NOTHING)
    """Balances at the genesis: address to smidge."""

    @property
    def identity(self) -> genesis.Genesis:
        """What this makes of the network: golden ATX, genesis id, the file in the data folder."""
        return genesis.Genesis(self.time, self.extra_data, self.accounts)


@dataclass(frozen=True, slots=True)
class PublicMetrics:
    """Metrics that are pushed to a server."""

    url: str = setting("metrics-url", TEXT, "")
    """Where metrics are pushed; empty: nowhere."""
    push_period_ns: int = setting("metrics-push-period", DURATION, 0)
    """How often metrics are pushed."""
    push_user: str = setting("metrics-push-user", TEXT, "")
    """User name at that server."""
    push_pass: str = setting("metrics-push-pass", TEXT, "")
    """Password at that server."""
    push_header: Mapping[str, str] = setting("metrics-push-header", HEADERS, NOTHING)
    """Headers that are sent along."""


@dataclass(frozen=True, slots=True)
class Api:
    """Listeners and services. Protocol 03b, section 4.8."""

    public_services: tuple[str, ...] = setting(
        "PublicServices",
        TEXTS,
        (
            "global",
            "mesh",
            "transaction",
            "node",
            "activation",
            "activation_v2alpha1",
            "reward_v2alpha1",
            "network_v2alpha1",
            "node_v2alpha1",
            "layer_v2alpha1",
            "transaction_v2alpha1",
            "account_v2alpha1",
            "malfeasance_v2alpha1",
        ),
        by_name=True,
    )
    """Services of the public listener."""
    grpc_public_listener: str = setting("grpc-public-listener", TEXT, "0.0.0.0:9092")
    """Address of the services that anybody may ask."""
    private_services: tuple[str, ...] = setting(
        "PrivateServices",
        TEXTS,
        (
            "admin",
            "smesher",
            "debug",
            "activation_stream_v2alpha1",
            "reward_stream_v2alpha1",
            "layer_stream_v2alpha1",
            "transaction_stream_v2alpha1",
            "malfeasance_stream_v2alpha1",
        ),
        by_name=True,
    )
    """Services of the private listener."""
    grpc_private_listener: str = setting("grpc-private-listener", TEXT, "127.0.0.1:9093")
    """Address of the services that are the operator's alone."""
    post_services: tuple[str, ...] = setting(
        "PostServices",
        TEXTS,
        (
            "post",
            "postInfo",
        ),
        by_name=True,
    )
    """Services of the listener for PoST services."""
    grpc_post_listener: str = setting("grpc-post-listener", TEXT, "127.0.0.1:0")
    """Address where PoST services connect; port 0: any free one."""
    grpc_tls_services: tuple[str, ...] = setting(
        "grpc-tls-services",
        TEXTS,
        (
            "post",
            "postInfo",
        ),
    )
    """Services of the listener with certificates."""
    grpc_tls_listener: str = setting("grpc-tls-listener", TEXT, "")
    """Address of the listener that asks for a client's certificate; empty: none."""
    grpc_tls_ca_cert: str = setting("grpc-tls-ca-cert", TEXT, "")
    """File with the certificates that sign those of clients."""
    grpc_tls_cert: str = setting("grpc-tls-cert", TEXT, "")
    """File with the certificate of this server."""
    grpc_tls_key: str = setting("grpc-tls-key", TEXT, "")
    """File with the key of that certificate."""
    grpc_send_msg_size: int = setting("grpc-send-msg-size", INT64, 10 * 1024**2)
    """Bytes of the largest message that is sent."""
    grpc_recv_msg_size: int = setting("grpc-recv-msg-size", INT64, 10 * 1024**2)
    """Bytes of the largest message that is taken."""
    grpc_json_listener: str = setting("grpc-json-listener", TEXT, "")
    """Address of the same services over HTTP and JSON; empty: none."""
    grpc_cors_allowed_origins: tuple[str, ...] = setting("grpc-cors-allowed-origins", TEXTS, ("",))
    """Origins that browsers may call from."""
    smesherstreaminterval_ns: int = setting("smesherstreaminterval", DURATION, SECOND)
    """How often the stream of the initialisation tells its progress."""
    db_connections: int = setting("db-connections", INT64, 16)
    """Connections to the state database for the API."""


@dataclass(frozen=True, slots=True)
class CertifierClient:
    """How often a certificate is asked for."""

    retry_delay_ns: int = setting("retry-delay", DURATION, SECOND)
    """Wait before the second try."""
    max_retry_delay_ns: int = setting("max-retry-delay", DURATION, 30 * SECOND)
    """Longest wait between two tries."""
    max_retries: int = setting("max-retries", INT64, 5)
    """Tries after the first."""


@dataclass(frozen=True, slots=True)
class Certifier:
    """Certificates for PoET servers. Protocol 03b, section 4.5."""

    client: CertifierClient = section("client", CertifierClient)


@dataclass(frozen=True, slots=True)
class PostService:
    """The PoST service that the node starts itself. Protocol 03b, section 4.5."""

    post_service_cmd: str = setting("PostServiceCmd", TEXT, "<directory of the executable>/post-service", by_name=True)
    """Program that proves."""
    node_address: str = setting("NodeAddress", TEXT, "http://127.0.0.1:9094", by_name=True)
    """Where it finds this node."""
    max_retries: int = setting("MaxRetries", INT64, 10, by_name=True)
    """Restarts before the node gives up."""
    ca_cert: str = setting("CACert", TEXT, "", by_name=True)
    """File with the certificates that sign that of this node."""
    cert: str = setting("Cert", TEXT, "", by_name=True)
    """File with the certificate of the service."""
    key: str = setting("Key", TEXT, "", by_name=True)
    """File with the key of that certificate."""


@dataclass(frozen=True, slots=True)
class Scrypt:
    """Work of one label."""

    n: int = setting("N", UINT64, 8192, by_name=True)
    """Cost: blocks of memory for one label, a power of two."""
    r: int = setting("R", UINT64, 1, by_name=True)
    """Size of a block."""
    p: int = setting("P", UINT64, 1, by_name=True)
    """Rounds in parallel."""


@dataclass(frozen=True, slots=True)
class SmeshingOpts:
    """The data of this node's own identity."""

    datadir: str = setting("smeshing-opts-datadir", TEXT, "~/post/data")
    """Folder of the labels."""
    numunits: int = setting("smeshing-opts-numunits", UINT32, 2)
    """Space units to fill."""
    maxfilesize: int = setting("smeshing-opts-maxfilesize", UINT64, 4 * 1024**3)
    """Bytes of a data file."""
    provider: int | None = setting("smeshing-opts-provider", PROVIDER, None)
    """Device that makes labels; none chosen: the fastest."""
    throttle: bool = setting("smeshing-opts-throttle", BOOLEAN, False)
    """Make labels slower, so that the machine stays usable."""
    scrypt: Scrypt = section("smeshing-opts-scrypt", Scrypt)
    compute_batch_size: int = setting("smeshing-opts-compute-batch-size", UINT64, 1048576)
    """Labels that a device makes at once."""


@dataclass(frozen=True, slots=True)
class SmeshingProvingOpts:
    """How proofs are made."""

    threads: int = setting("smeshing-opts-proving-threads", UINT64, 1)
    """Threads that prove."""
    nonces: int = setting("smeshing-opts-proving-nonces", UINT64, 16)
    """Nonces that are tried in one pass over the data, a multiple of 16."""
    randomx_mode: str = setting("smeshing-opts-proving-randomx-mode", TEXT, "fast")
    """Memory for the proof of work: fast (2 GiB) or light (256 MiB)."""


@dataclass(frozen=True, slots=True)
class SmeshingVerifyingOpts:
    """How proofs of others are checked."""

    disable: bool = setting("smeshing-opts-verifying-disable", BOOLEAN, False)
    """Believe proofs of others unseen."""
    workers: int = setting("smeshing-opts-verifying-workers", INT64, 1)
    """Threads that check proofs."""
    min_workers: int = setting("smeshing-opts-verifying-min-workers", INT64, 1)
    """Threads that check proofs while this node proves."""
    powflags: int = setting("smeshing-opts-verifying-powflags", POW_FLAGS, 106)
    """RandomX flags; the recommended ones depend on the processor."""


@dataclass(frozen=True, slots=True)
class Smeshing:
    """Smeshing with the node itself. Protocol 03b, section 4.5."""

    start: bool = setting("smeshing-start", BOOLEAN, False)
    """Fill the space and smesh from the start on."""
    coinbase: str = setting("smeshing-coinbase", TEXT, "")
    """Address that is paid."""
    opts: SmeshingOpts = section("smeshing-opts", SmeshingOpts)
    proving_opts: SmeshingProvingOpts = section("smeshing-proving-opts", SmeshingProvingOpts)
    verifying_opts: SmeshingVerifyingOpts = section("smeshing-verifying-opts", SmeshingVerifyingOpts)
