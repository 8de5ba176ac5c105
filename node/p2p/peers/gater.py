"""Who may be dialled or taken. Protocol 09a, section 1.4."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from node.contract.messages import PeerId
from node.p2p.wire.multiaddr import Multiaddr

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SUBNET_BITS = {4: 24, 6: 56}
"""How much of an address names a subnet, by the version of IP."""


@dataclass(frozen=True, slots=True)
class GaterParameters:
    """Bounds of connections."""

    high: int = 100
    inbound: float = 0.8
    """Part of `high` up to which others are taken."""
    outbound: float = 1.1
    """Part of `high` up to which others are dialled."""
    blocked: tuple[Network, ...] = ()
    """Addresses that are not dialled; none on a private network."""
    of_subnet: int = 16
    """Connections that others may open from one subnet; as many as they like where addresses are private."""
    direct: frozenset[PeerId] = frozenset()
    """Peers that are always dialled and taken."""


class Gater:
    """The rules, and who came from where."""

    def __init__(self, parameters: GaterParameters) -> None:
        self._of = parameters
        self._subnets: Counter[Network] = Counter()

    def may_dial(self, peer: PeerId | None, connected: int) -> bool:
        """Whether a peer may be dialled; connected: how many are."""
        return peer in self._of.direct or connected <= int(self._of.high * self._of.outbound)

    def may_dial_at(self, peer: PeerId | None, address: Multiaddr) -> bool:
        """Whether an address of it may be. Names are not looked up for that."""
        ip = address.ip
        return peer in self._of.direct or ip is None or not any(ip in one for one in self._of.blocked)

    def may_accept(self, ip: str, connected: int) -> bool:
        """Whether a connection that another one opens is taken."""
        if connected > int(self._of.high * self._of.inbound):
            return False
        subnet = _subnet(ip)
        return subnet is None or self._subnets[subnet] < self._of.of_subnet

    def accepted(self, ip: str) -> None:
        """A connection was taken."""
        if (subnet := _subnet(ip)) is not None:
            self._subnets[subnet] += 1

    def closed(self, ip: str) -> None:
        """A connection that was taken is closed."""
        if (subnet := _subnet(ip)) is not None:
            self._subnets[subnet] -= 1
            if self._subnets[subnet] <= 0:
                del self._subnets[subnet]


def _subnet(ip: str) -> Network | None:
    """The subnet that is counted; None for private addresses, behind which there may be many nodes of one owner."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_private or address.is_loopback:
        return None
    return ipaddress.ip_network((address, SUBNET_BITS[address.version]), strict=False)


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks of a configuration. Raises ValueError, which names the one that is none."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
