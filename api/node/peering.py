"""Peers as the services of a node tell of them, from whatever network it has."""

from __future__ import annotations

from collections.abc import Sequence

from api.services.node.backend import NetworkFacts, PeerFacts
from node.p2p.port import Host


class HostPeering:
    """`backend.Peering` over a host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def network(self) -> NetworkFacts:
        """As Peering says."""
        return NetworkFacts(self._host.id, self._host.addresses, self._host.addresses)

    def peers(self) -> Sequence[PeerFacts]:
        """As Peering says."""
        return [PeerFacts(one.text, one.addresses, one.connected_ns, one.is_outbound) for one in self._host.contacts()]
