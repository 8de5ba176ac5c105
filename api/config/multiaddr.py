"""Addresses of peers as configuration files hold them: parts with slashes, each a word or a word and its argument."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping

from api.edge.text import is_whole


def _port(text: str) -> None:
    if not (is_whole(text) and int(text) < 1 << 16):
        raise ValueError


def _peer_id(text: str) -> None:
    if not re.fullmatch(r"[1-9A-HJ-NP-Za-km-z]{20,}", text):
        raise ValueError


_ADDRESS_PARTS: Mapping[str, Callable[[str], object]] = {
    "ip4": ipaddress.IPv4Address,
    "ip6": ipaddress.IPv6Address,
    "ip6zone": str,
    "dns": str,
    "dns4": str,
    "dns6": str,
    "dnsaddr": str,
    "tcp": _port,
    "udp": _port,
    "p2p": _peer_id,
    "unix": str,
}
"""Parts of a multiaddr that take an argument, with its check (raises ValueError)."""
_ADDRESS_WORDS = ("quic", "quic-v1", "webtransport", "ws", "wss", "tls", "noise", "p2p-circuit")
"""Parts that stand alone."""


def is_multiaddr(text: str) -> bool:
    """Whether a text is an address such as /ip4/0.0.0.0/tcp/7513."""
    before, *parts = text.split("/")
    if before or not parts:
        return False
    parts.reverse()
    while parts:
        name = parts.pop()
        if name in _ADDRESS_WORDS:
            continue
        if name not in _ADDRESS_PARTS or not parts or not parts[-1]:
            return False
        try:
            _ADDRESS_PARTS[name](parts.pop())
        except ValueError:
            return False
    return True
