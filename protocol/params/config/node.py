"""The whole configuration of a node, section by section.

Protocol 03b-config-and-genesis, section 3 (list of sections).
"""

from __future__ import annotations

from dataclasses import dataclass

from . import consensus, logs, network, requests, services
from .declare import TEXT, section, setting


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a node is told before it starts. Immutable: another network is another value."""

    main: services.Main = section("main", services.Main)
    preset: str = setting("preset", TEXT, "")
    """Name of the preset on which the configuration stands."""
    genesis: services.Genesis = section("genesis", services.Genesis)
    public_metrics: services.PublicMetrics = section("public-metrics", services.PublicMetrics)
    tortoise: consensus.Tortoise = section("tortoise", consensus.Tortoise)
    p2p: network.P2P = section("p2p", network.P2P)
    api: services.Api = section("api", services.Api)
    hare3: consensus.Hare = section("hare3", consensus.Hare)
    hare4: consensus.Hare = section("hare4", consensus.Hare, committee=50, protocolname="/h/4.0")
    hare_eligibility: consensus.HareEligibility = section("hare-eligibility", consensus.HareEligibility)
    certificate: consensus.Certificate = section("certificate", consensus.Certificate)
    beacon: consensus.Beacon = section("beacon", consensus.Beacon)
    time: network.Time = section("time", network.Time)
    vm: consensus.VM = section("vm", consensus.VM)
    certifier: services.Certifier = section("certifier", services.Certifier)
    post: consensus.Post = section("post", consensus.Post)
    post_service: services.PostService = section("POSTService", services.PostService, by_name=True)
    poet: consensus.Poet = section("poet", consensus.Poet)
    smeshing: services.Smeshing = section("smeshing", services.Smeshing)
    logging: logs.Logging = section("logging", logs.Logging)
    fetch: requests.Fetch = section("fetch", requests.Fetch)
    bootstrap: network.Bootstrap = section("bootstrap", network.Bootstrap)
    syncer: requests.Syncer = section("syncer", requests.Syncer)
    recovery: network.Recovery = section("recovery", network.Recovery)
    cache: network.Cache = section("cache", network.Cache)
    active_set_preparation: consensus.ActiveSetPreparation = section(
        "active-set-preparation", consensus.ActiveSetPreparation
    )
