"""Settings of the log: what each module says. Protocol 03b-config-and-genesis, section 4.8."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import TEXT, setting


@dataclass(frozen=True, slots=True)
class Logging:
    """How much each module says. Protocol 03b, section 4.8."""

    log_encoder: str = setting("log-encoder", TEXT, "console")
    """Form of a line: console, for people, or json."""
    app: str = setting("app", TEXT, "info")
    """The node as a whole, and everything that has no module."""
    clock: str = setting("clock", TEXT, "info")
    """Layers and the clock."""
    p2p: str = setting("p2p", TEXT, "error")
    """Peers and connections."""
    post: str = setting("post", TEXT, "info")
    """Making labels."""
    post_service: str = setting("postService", TEXT, "info")
    """The PoST service that the node starts."""
    state_db: str = setting("stateDb", TEXT, "info")
    """The store of the state."""
    beacon: str = setting("beacon", TEXT, "info")
    """The beacon."""
    cached_db: str = setting("cachedDb", TEXT, "info")
    """What of ATXs is kept in memory."""
    poet_db: str = setting("poetDb", TEXT, "info")
    """Proofs of PoET servers."""
    trtl: str = setting("trtl", TEXT, "info")
    """Tortoise."""
    atx_handler: str = setting("atxHandler", TEXT, "info")
    """ATXs of others."""
    atx_builder: str = setting("atxBuilder", TEXT, "info")
    """ATXs of own identities."""
    mesh: str = setting("mesh", TEXT, "info")
    """Layers and blocks."""
    sync: str = setting("sync", TEXT, "info")
    """Catching up."""
    hare_oracle: str = setting("hareOracle", TEXT, "info")
    """Who sits in a committee."""
    hare: str = setting("hare", TEXT, "info")
    """Agreement on proposals."""
    block_cert: str = setting("blockCert", TEXT, "info")
    """Certificates of blocks."""
    block_generator: str = setting("blockGenerator", TEXT, "info")
    """Making blocks."""
    block_handler: str = setting("blockHandler", TEXT, "info")
    """Blocks of others."""
    tx_handler: str = setting("txHandler", TEXT, "info")
    """Transactions that come in."""
    proposal_store: str = setting("proposalStore", TEXT, "")
    """Proposals that are kept for hare; empty: info."""
    proposal_builder: str = setting("proposalBuilder", TEXT, "info")
    """Own proposals."""
    proposal_listener: str = setting("proposalListener", TEXT, "info")
    """Proposals of others."""
    nipost_builder: str = setting("nipostBuilder", TEXT, "info")
    """Own proofs for ATXs."""
    nipost_validator: str = setting("nipostValidator", TEXT, "info")
    """Proofs in ATXs of others."""
    fetcher: str = setting("fetcher", TEXT, "info")
    """Requests to peers."""
    timesync: str = setting("timesync", TEXT, "info")
    """The clock compared with those of peers."""
    vm: str = setting("vm", TEXT, "info")
    """Executing transactions."""
    grpc: str = setting("grpc", TEXT, "warn")
    """Services for clients."""
    con_state: str = setting("conState", TEXT, "info")
    """The mempool."""
    executor: str = setting("executor", TEXT, "info")
    """Applying layers."""
    malfeasance: str = setting("malfeasance", TEXT, "info")
    """Proofs of malfeasance."""
    bootstrap: str = setting("bootstrap", TEXT, "info")
    """Beacons and active sets from files."""
