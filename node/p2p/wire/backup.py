"""The peers that were connected, for the next start: `connected.txt`. Protocol 09a, section 1.5.

CRC-64 (ISO) of the rest, 8 bytes, big-endian; then a JSON object a line, {"ID":"…","Addrs":["…"]}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from node.contract.messages import PeerId

from . import multiaddr, peer_id
from .errors import MALFORMED, NOT_AUTHENTIC, TRUNCATED, WireError
from .multiaddr import Multiaddr

POLYNOMIAL = 0xD800000000000000
"""Of CRC-64 ISO, reflected."""


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """A peer and where it can be reached."""

    id: PeerId
    addresses: tuple[Multiaddr, ...] = ()

    def to_json(self) -> str:
        """As a line of the file."""
        shown = {"ID": peer_id.to_text(self.id), "Addrs": [str(address) for address in self.addresses]}
        return json.dumps(shown, separators=(",", ":"))


def known_peer(address: Multiaddr) -> KnownPeer:
    """The peer of an address that names one. Raises WireError."""
    peer = address.peer
    if peer is None or address.parts[-1][0] != "p2p":
        raise WireError(f"The address {address} names no peer: /p2p/… is missing at its end.", MALFORMED)
    where = address.without_peer()
    return KnownPeer(peer, (where,) if where.parts else ())


def _table() -> tuple[int, ...]:
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        found.append(value)
    return tuple(found)


_TABLE = _table()
_MASK = (1 << 64) - 1


def crc64(data: bytes) -> int:
    """CRC-64 ISO."""
    value = _MASK
    for one in data:
        value = _TABLE[(value ^ one) & 0xFF] ^ value >> 8
    return value ^ _MASK


def encode(peers: Sequence[KnownPeer]) -> bytes:
    """The content of the file."""
    body = "".join(peer.to_json() + "\n" for peer in peers).encode()
    return crc64(body).to_bytes(8, "big") + body


def decode(data: bytes) -> list[KnownPeer]:
    """The peers in the file. Raises WireError where it is not whole."""
    if len(data) < 8:
        raise WireError(f"The file has {len(data)} bytes, expected a checksum of 8.", TRUNCATED)
    body = data[8:]
    if crc64(body) != int.from_bytes(data[:8], "big"):
        raise WireError("The checksum of the file does not hold.", NOT_AUTHENTIC)
    return [_known(line) for line in body.splitlines()]


def _known(line: bytes) -> KnownPeer:
    try:
        shown: Any = json.loads(line)
        addresses = tuple(multiaddr.from_text(text) for text in shown["Addrs"] or ())
        return KnownPeer(peer_id.from_text(shown["ID"]), addresses)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WireError(f"A line of the file names no peer: {error}.", MALFORMED) from None
