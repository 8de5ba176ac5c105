"""Settings that this node reads and has no use for, because it lacks the part that they are for, or does without it.

They are named in one warning, and only those that somebody has set to something else than the network's default. A file
of an original node keeps them, so that it can be used by both. Protocol 03b-config-and-genesis, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from api.config.load import Loaded
from api.config.node import inner, settings_of
from protocol.params.config.node import Config

PARTS: Mapping[str, tuple[str, ...]] = {
    "QUIC, relays, and ways through a router that opens no port": (
        "p2p.enable-quic-transport",
        "p2p.relay",
        "p2p.static-relays",
        "p2p.p2p-holepunching",
        "p2p.p2p-reachability",
        "p2p.disable-natport",
        "p2p.auto-nat-server.",
    ),
    "a node without gossip, without TCP, or without its part of the table of peers": (
        "p2p.disable-pubsub",
        "p2p.enable-tcp-transport",
        "p2p.force-dht-server",
    ),
    "looking for peers by a topic": (
        "p2p.enable-routing-discovery",
        "p2p.routing-discovery-advertise",
        "p2p.discovery-timings.",
    ),
    "bounds of libp2p's library": (
        "p2p.DataDir",
        "p2p.LogLevel",
        "p2p.gracepeersshutdown",
        "p2p.disable-reuseport",
        "p2p.disable-connection-manager",
        "p2p.disable-resource-manager",
        "p2p.autoscale-peers",
        "p2p.p2p-accept-queue",
        "p2p.p2p-metrics",
        "p2p.gossip-",
        "p2p.ping-",
    ),
    "ending for a wrong clock, of which the log warns": ("time.peersync.max-offset-errors",),
    "values of connections that fade otherwise": ("fetch.decaying-tag.", "fetch.servers-metrics"),
    "profiles of a Go program": ("main.pprof-", "main.profiler-"),
    "an SQL database": (
        "main.db-connections",
        "main.db-latency-metering",
        "main.db-size-metering-interval",
        "main.db-vacuum-state",
        "main.db-skip-migrations",
        "main.db-query-cache",
        "main.db-allow-schema-drift",
        "api.db-connections",
    ),
    "active sets that are kept for longer": ("main.prune-activesets-from",),
    "caches of a fixed size": ("cache.", "poet.poet-proofs-cache"),
    "the trace of tortoise": ("tortoise.tortoise-enable-tracer", "tortoise.tortoise-collect-details"),
    "statistics in the log": (
        "hare3.log-stats",
        "hare4.log-stats",
        "fetch.log-peer-stats-interval",
        "syncer.atx-sync.progress-",
    ),
    "metrics that are pushed": ("public-metrics.",),
    "another way to the PoST service than loopback": (
        "POSTService.NodeAddress",
        "POSTService.CACert",
        "POSTService.Cert",
        "POSTService.Key",
    ),
    "batches of labels by hand": ("smeshing.smeshing-opts.smeshing-opts-compute-batch-size",),
    "a choice of instructions by hand": ("smeshing.smeshing-verifying-opts.smeshing-opts-verifying-powflags",),
    "test builds that keep off the main network": ("main.no-main-override",),
}
"""What is lacking, and the settings that are for it, by the beginning of their paths."""


ALONE = "peers, which a standalone network has none of"


def part_of(path: str) -> str | None:
    """What a setting is for that this node lacks; None where it has an effect."""
    return next((part for part, starts in PARTS.items() if path.startswith(starts)), None)


def warning(loaded: Loaded) -> str | None:
    """The sentence about settings of a configuration that have no effect here; None where there are none."""
    by_part: dict[str, list[str]] = {}
    for path in _changed(loaded):
        part = part_of(path)
        if path.startswith("p2p.") and loaded.config.main.standalone:
            part = ALONE
        if part is not None:
            by_part.setdefault(part, []).append(path)
    if not by_part:
        return None
    listed = "; ".join(f"{part} ({', '.join(paths)})" for part, paths in by_part.items())
    return (
        f"These settings have no effect, since this node does without what they are for: {listed}. All others count. "
        "Take them out, or leave them in a file that an original node is to read too."
    )


def _changed(loaded: Loaded) -> Iterator[str]:
    for setting, attributes in settings_of(Config):
        if setting.path in loaded.sources and inner(loaded.config, attributes) != inner(loaded.base, attributes):
            yield setting.path
