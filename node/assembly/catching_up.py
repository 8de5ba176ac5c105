"""Parameters of fetching and sync, from the settings of a node. Protocol 03b-config-and-genesis, section 4.6."""

from __future__ import annotations

from node.fetch.parameters import FetchParameters, ServerLimit, ServerParameters
from node.fetch.protocols import PROTOCOLS
from node.sync.parameters import AtxSyncParameters, MalfeasanceSyncParameters, SyncParameters
from protocol.params.config import requests
from protocol.params.config.derived import Contradiction
from protocol.params.config.node import Config
from protocol.types.fetch import MAX_BATCH

UNNAMED = ServerLimit(10_000, 100)
"""Of a protocol that the settings do not name."""


def fetch(of: requests.Fetch) -> FetchParameters:
    """Of the client. Raises Contradiction."""
    _at_least_one(
        ("fetch.batchsize", of.batchsize),
        ("fetch.queuesize", of.queuesize),
        ("fetch.getatxsconcurrency", of.getatxsconcurrency),
    )
    if of.batchsize > MAX_BATCH:
        raise Contradiction(f"fetch.batchsize is {of.batchsize}, expected at most {MAX_BATCH}: peers read no more.")
    return FetchParameters(
        gather=of.batchtimeout_ns,
        gather_at_most=of.queuesize,
        batch=of.batchsize,
        timeout=of.request_timeout_ns,
        large_timeout=of.request_hard_timeout_ns,
        max_tries=of.maxretriesforrequest,
    )


def server(of: requests.Fetch) -> ServerParameters:
    """Of what is served. Raises Contradiction."""
    limits = dict.fromkeys(PROTOCOLS, UNNAMED)
    for name, limit in of.servers.items():
        if limit.queue < 1 or limit.requests < 1 or limit.interval_ns < 1:
            raise Contradiction(
                f"fetch.servers.{name} has queue {limit.queue}, requests {limit.requests} and interval "
                f"{limit.interval_ns} ns, expected each above zero: nobody would be answered."
            )
        limits[name] = ServerLimit(limit.queue, limit.requests, limit.interval_ns)
    return ServerParameters(limits=limits, is_streaming=of.streaming)


def sync(config: Config) -> SyncParameters:
    """Of catching up. Raises Contradiction."""
    of, atxs, malfeasance = config.syncer, config.syncer.atx_sync, config.syncer.malfeasance_sync
    for name, fraction in (
        ("epochendfraction", of.epochendfraction),
        ("TallyVotesFrequency", of.tally_votes_frequency),
        ("malfeasance-sync.max-epoch-fraction", malfeasance.max_epoch_fraction),
    ):
        if not 0 <= fraction <= 1:
            raise Contradiction(f"syncer.{name} is {fraction}, expected 0 to 1.")
    _at_least_one(
        ("syncer.interval", of.interval_ns),
        ("syncer.atx-sync.epoch-info-request-interval", atxs.epoch_info_request_interval_ns),
        ("syncer.atx-sync.epoch-info-peers", atxs.epoch_info_peers),
        ("syncer.atx-sync.atxs-batch", atxs.atxs_batch),
        ("syncer.malfeasance-sync.id-request-interval", malfeasance.id_request_interval_ns),
        ("syncer.malfeasance-sync.retry-interval", malfeasance.retry_interval_ns),
        ("syncer.malfeasance-sync.malfeasance-id-peers", malfeasance.malfeasance_id_peers),
        ("syncer.malfeasance-sync.max-batch-size", malfeasance.max_batch_size),
    )
    return SyncParameters(
        hare_delay_layers=of.hare_delay_layers,
        certificate_distance=of.sync_cert_distance,
        interval=of.interval_ns,
        epoch_end_fraction=of.epochendfraction,
        gossip_duration=of.gossipduration_ns,
        out_of_sync_layers=of.out_of_sync_threshold,
        max_stale=of.maxstaleduration_ns,
        has_mesh_agreement=not of.disable_mesh_agreement,
        tally_fraction=of.tally_votes_frequency,
        is_standalone=of.standalone,
        timeout=config.fetch.request_timeout_ns,
        list_timeout=config.fetch.request_hard_timeout_ns,
        atxs=AtxSyncParameters(
            list_interval=atxs.epoch_info_request_interval_ns,
            list_peers=atxs.epoch_info_peers,
            max_tries=atxs.requests_limit,
            batch=atxs.atxs_batch,
            at_once=config.fetch.getatxsconcurrency,
        ),
        malfeasance=MalfeasanceSyncParameters(
            list_interval=malfeasance.id_request_interval_ns,
            retry_interval=malfeasance.retry_interval_ns,
            list_peers=malfeasance.malfeasance_id_peers,
            min_peers=malfeasance.min_sync_peers,
            max_epoch_fraction=malfeasance.max_epoch_fraction,
            batch=malfeasance.max_batch_size,
            max_tries=malfeasance.requests_limit,
        ),
    )


def _at_least_one(*settings: tuple[str, int]) -> None:
    """Else nothing would ever be asked for, or without a pause."""
    for name, value in settings:
        if value < 1:
            raise Contradiction(f"{name} is {value}, expected 1 or more.")
