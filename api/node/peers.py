"""The node's place among peers: the host that the settings of a network come to, and what it keeps in `p2p/`.

Protocol 09a-p2p-fetch-sync, section 1; 03b-config-and-genesis, section 4.7.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from logging import getLogger
from pathlib import Path

from api.edge.errors import EnvironmentFault, UsageError
from node.activation.machine import TOPIC as ATXS
from node.assembly.parameters import NodeParameters
from node.beacon.machine import BeaconMachine
from node.certificates.machine import TOPIC as CERTIFICATES
from node.fetch.protocols import PROTOCOLS
from node.hare.exchange import PROTOCOL as FULL_LISTS
from node.malfeasance.machine import TOPIC as MALFEASANCE
from node.mempool.handler import TOPIC as TRANSACTIONS
from node.p2p.gossip.parameters import BOOTNODE, GossipParameters
from node.p2p.host.host import Host, HostError
from node.p2p.host.parameters import Framing, HostParameters
from node.p2p.host.thread import HostThread
from node.p2p.peers.clocks import ClockParameters
from node.p2p.peers.gater import GaterParameters, Network, networks
from node.p2p.peers.trimming import TrimmingParameters
from node.p2p.wire import backup, cookie, multiaddr
from node.p2p.wire.backup import KnownPeer
from node.p2p.wire.errors import WireError
from node.p2p.wire.key_file import PeerKey
from node.p2p.wire.multiaddr import Multiaddr
from node.proposals.machine import TOPIC as PROPOSALS
from node.runtime.chance import DrawnRandom
from protocol.params.config.network import P2P, Peersync
from protocol.params.config.node import Config
from prover import durable

log = getLogger("p2p")

BACKUP = "connected.txt"
LARGEST_BACKUP = 4 << 20
"""Bytes of the file with the peers of the last time."""
LONGEST_ANSWER_S = 300.0


def host_of(name: str, config: Config, parameters: NodeParameters, key: PeerKey, folder: Path) -> HostThread:
    """A host that listens. folder: `p2p` of the data directory. Raises UsageError, EnvironmentFault."""
    found = host_parameters(config, parameters)
    random = DrawnRandom(secrets.token_bytes(32))
    path = folder / BACKUP
    try:
        return HostThread(
            f"{name}-peers", lambda: Host(key, found, random), read_backup(path), lambda known: keep(path, known)
        )
    except HostError as error:
        raise EnvironmentFault(str(error)) from None


def host_parameters(config: Config, parameters: NodeParameters) -> HostParameters:
    """What the settings come to. Raises UsageError, which names the one that is wrong."""
    settings = config.p2p
    bootnodes, direct = _peers("bootnodes", settings.bootnodes), _peers("direct", settings.direct)
    if settings.high_peers < settings.low_peers:
        raise UsageError(
            f"p2p.high-peers is {settings.high_peers}, expected no fewer than p2p.low-peers, {settings.low_peers}."
        )
    blocked: tuple[Network, ...] = ()
    if not settings.private_network:
        try:
            blocked = networks((*settings.ip4_blocklist, *settings.ip6_blocklist))
        except ValueError as error:
            raise UsageError(f"p2p.ip4-blocklist, p2p.ip6-blocklist: {error}.") from None
    return HostParameters(
        prologue=cookie.network_name(parameters.genesis_id, parameters.time.effective_genesis),
        topics=topics_of(parameters),
        protocols={**dict.fromkeys(PROTOCOLS, Framing.ENVELOPE), FULL_LISTS: Framing.BARE},
        listen=_addresses("listen", settings.listen),
        advertise=_addresses("advertise-address", settings.advertise_address),
        bootnodes=bootnodes,
        direct=direct,
        least_peers=settings.min_peers,
        gater=GaterParameters(
            high=settings.high_peers,
            inbound=settings.inbound_fraction,
            outbound=settings.outbound_fraction,
            blocked=blocked,
            direct=frozenset(peer.id for peer in direct),
        ),
        trimming=TrimmingParameters(settings.low_peers, settings.high_peers),
        gossip=_gossip(settings),
        clocks=None if config.time.peersync.disable else _clocks(config.time.peersync),
        finds=not settings.disable_dht,
        hard_s=LONGEST_ANSWER_S,
    )


def _clocks(settings: Peersync) -> ClockParameters:
    return ClockParameters(
        interval=settings.round_interval_ns,
        retry=settings.round_retry_interval_ns,
        timeout=settings.round_timeout_ns,
        largest_offset=settings.max_clock_offset_ns,
        answers=settings.required_responses,
    )


def topics_of(parameters: NodeParameters) -> tuple[str, ...]:
    """The topics of gossip in which a node of a network takes part. Protocol 09a, section 2.3."""
    beacon = BeaconMachine.topics if parameters.beacon.rounds else ()
    hare = tuple(one.topic for one in (parameters.hare3, parameters.hare4) if one.is_enabled)
    return (ATXS, PROPOSALS, TRANSACTIONS, CERTIFICATES, MALFEASANCE, *beacon, *hare)


def _gossip(settings: P2P) -> GossipParameters:
    base = BOOTNODE if settings.bootnode else GossipParameters()
    return replace(base, flood_publish=settings.flood, rpc_bytes=settings.maxmessagesize)


def _addresses(name: str, texts: Iterable[str]) -> tuple[Multiaddr, ...]:
    """Those over TCP; others are for transports that this node does not have."""
    try:
        found = [multiaddr.from_text(text) for text in texts]
    except WireError as error:
        raise UsageError(f"p2p.{name}: {error}") from None
    return tuple(one for one in found if one.tcp is not None)


def _peers(name: str, texts: Iterable[str]) -> tuple[KnownPeer, ...]:
    """Peers by their addresses; several addresses of one are one peer."""
    found: dict[bytes, KnownPeer] = {}
    for text in texts:
        try:
            one = backup.known_peer(multiaddr.from_text(text))
        except WireError as error:
            raise UsageError(f"p2p.{name}: {error}") from None
        before = found.get(one.id)
        found[one.id] = one if before is None else KnownPeer(one.id, (*before.addresses, *one.addresses))
    return tuple(found.values())


# ---- peers of the last time ----


def read_backup(path: Path) -> list[KnownPeer]:
    """The peers that were connected the last time; none where the file is not there or not whole."""
    try:
        return backup.decode(durable.read_whole(path, LARGEST_BACKUP))
    except FileNotFoundError:
        return []
    except WireError as error:
        why = str(error)
    except OSError as error:
        why = f"{durable.reason(error)}."
    log.warning("%s is passed over: %s Peers are found by the bootnodes instead.", path, why)
    return []


def keep(path: Path, peers: Sequence[KnownPeer]) -> None:
    """Write the peers of this time, in place of the last one's."""
    try:
        durable.replace(path, backup.encode(peers))
    except OSError as error:
        log.warning(
            "%s cannot be written: %s. After the next start peers are found by the bootnodes.",
            path,
            durable.reason(error),
        )
