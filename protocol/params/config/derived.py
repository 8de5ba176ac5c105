"""Values that are computed when a node starts, and settings that contradict each other.

Protocol 03b-config-and-genesis, sections 4.3, 4.7 and 5.
"""

from __future__ import annotations

from dataclasses import replace

from protocol.errors import ProtocolError
from protocol.numbers import durations

from .node import Config


class Contradiction(ProtocolError):
    """Settings that cannot work together. The message names them by their paths. reason: contradiction."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "contradiction")


def check(config: Config) -> None:
    """Whether a node can run with these settings. Raises Contradiction."""
    main, tortoise, hare, p2p, post = config.main, config.tortoise, config.hare3, config.p2p, config.post
    for path, value in (
        ("main.layer-duration", main.layer_duration_ns),
        ("main.layers-per-epoch", main.layers_per_epoch),
    ):
        if value <= 0:
            raise Contradiction(f"{path} is {value}, expected more than 0.")
    for path, text in (("main.data-folder", main.data_folder), ("main.filelock", main.filelock)):
        if not text.strip():
            raise Contradiction(f"{path} is empty, expected a path.")
    if hare.enable:
        longest = hare.preround_delay_ns + 7 * hare.iterations_limit * hare.round_duration_ns
        if longest > tortoise.zdist * main.layer_duration_ns:
            raise Contradiction(
                f"hare3 may take {durations.text(longest)} for its {hare.iterations_limit} iterations, but "
                f"the tortoise waits {tortoise.zdist} layers of {durations.text(main.layer_duration_ns)} "
                "(tortoise-zdist, layer-duration)."
            )
        if hare.disable_layer <= hare.enable_layer:
            raise Contradiction(
                f"hare3.disable-layer is {hare.disable_layer}, expected more than enable-layer ({hare.enable_layer})."
            )
    beacon, epoch_ns = config.beacon, main.layers_per_epoch * main.layer_duration_ns
    if beacon.rounds_number:
        following = beacon.voting_round_duration_ns + beacon.weak_coin_round_duration_ns
        longest = beacon.proposal_duration_ns + beacon.first_voting_round_duration_ns
        longest += (beacon.rounds_number - 1) * following
        if longest > epoch_ns:
            raise Contradiction(
                f"beacon takes {durations.text(longest)} for its {beacon.rounds_number} rounds, but an epoch has "
                f"{durations.text(epoch_ns)} (layers-per-epoch, layer-duration), and the next one needs the beacon."
            )
    if not (p2p.enable_tcp_transport or p2p.enable_quic_transport):
        raise Contradiction("p2p has no transport: set enable-tcp-transport or enable-quic-transport to true.")
    if not p2p.relay and (p2p.relay_server.enable or p2p.static_relays):
        raise Contradiction("p2p.relay is false, expected true where relay-server or static-relays is set.")
    if not p2p.min_peers <= p2p.low_peers <= p2p.high_peers:
        raise Contradiction(
            f"p2p.min-peers is {p2p.min_peers}, low-peers {p2p.low_peers} and high-peers {p2p.high_peers}, expected "
            "none above the next."
        )
    if post.k2 == 0 or post.min_numunits > post.max_numunits:
        raise Contradiction("post.post-k2 must be above zero and post-min-numunits at most post-max-numunits.")
    if main.standalone and len(main.poet_servers) != 1:
        raise Contradiction(
            f"main.standalone runs a PoET of its own, but main.poet-servers names {len(main.poet_servers)}, not one."
        )
    if config.smeshing.start and not config.smeshing.coinbase:
        raise Contradiction("smeshing.smeshing-start is true, but smeshing.smeshing-coinbase names nobody to be paid.")


def started(config: Config) -> Config:
    """The configuration with the values that are computed at start. Raises Contradiction."""
    check(config)
    main, tortoise = config.main, config.tortoise
    committee = config.certificate.committee_size or config.hare3.committee
    return replace(
        config,
        main=replace(main, miner_good_atxs_percent=main.miner_good_atxs_percent or 90),
        tortoise=replace(
            tortoise,
            layer_size=main.layer_average_size,
            delay_layers=tortoise.delay_layers or main.layers_per_epoch,
        ),
        certificate=replace(
            config.certificate,
            committee_size=committee,
            certify_threshold=committee // 2 + 1,
            layer_buffer=tortoise.zdist,
            num_layers_to_keep=2 * tortoise.zdist,
        ),
        syncer=replace(
            config.syncer,
            hare_delay_layers=tortoise.zdist,
            sync_cert_distance=tortoise.hdist,
            standalone=main.standalone,
        ),
        bootstrap=replace(config.bootstrap, data_dir=main.data_folder, interval_ns=main.layer_duration_ns // 5),
        vm=replace(config.vm, gas_limit=main.block_gas_limit, genesis_id=config.genesis.identity.genesis_id),
    )
