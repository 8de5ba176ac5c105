"""A PoET inside a node's process, for networks of one machine. Protocol 09b-node-storage-libp2p, section 6.3."""

from __future__ import annotations

import asyncio
from logging import getLogger
from pathlib import Path
from urllib.parse import urlsplit

from api.edge.errors import UsageError
from api.services.poet.app import App
from api.services.poet.config import Config as PoetConfig
from protocol.numbers.durations import MILLISECOND
from protocol.params.config.node import Config
from prover.poet.server.rounds import Schedule

LEAVES_PER_SECOND = 78_000
"""With how many a round is planned; it makes as many as it can."""
MOST_MEMBERS = 100_000
STOP_S = 0.7
"""What the round in work has to come to a safe point."""

log = getLogger("poet")


async def stop(poet: App) -> None:
    """Ends it, in a bounded time: what it has hashed since its last checkpoint is hashed again at the next start."""
    try:
        await asyncio.wait_for(poet.stop(), STOP_S)
    except TimeoutError:
        log.info("the PoET did not come to a safe point in time; it goes on from its last checkpoint")


def config_of(config: Config, folder: Path) -> PoetConfig:
    """The settings of the PoET that a node's configuration names, which has one. Raises UsageError."""
    (server,) = config.main.poet_servers
    address = urlsplit(server.address)
    if address.scheme != "http" or not address.hostname or not address.port:
        raise UsageError(
            f"main.poet-servers is {server.address}, expected an address such as http://127.0.0.1:10010: a standalone "
            "network runs its PoET there."
        )
    host = f"[{address.hostname}]" if ":" in address.hostname else address.hostname
    main, poet = config.main, config.poet
    return PoetConfig(
        poetdir=folder,
        datadir=folder / "data",
        dbdir=folder / "db",
        logdir=folder / "logs",
        schedule=Schedule(
            config.genesis.time.unix_ns,
            main.layers_per_epoch * main.layer_duration_ns,
            poet.phase_shift_ns,
            poet.cycle_gap_ns,
        ),
        config_rpclisten="127.0.0.1:0",
        rpclisten="127.0.0.1:0",
        restlisten=f"{host}:{address.port}",
        metrics_port=None,
        max_grpc_resp_size=8 << 20,
        disable_worker=False,
        pow_difficulty=0,
        max_round_members=MOST_MEMBERS,
        submit_flush_interval_ns=20 * MILLISECOND,
        certifier_url=None,
        certifier_pubkey=None,
        trusted_keys=None,
        lps=LEAVES_PER_SECOND,
        one_process=True,
    )
