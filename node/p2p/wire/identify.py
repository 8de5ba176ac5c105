"""What a peer says of itself on a new connection. Protocol 09a, section 1.3."""

from __future__ import annotations

from dataclasses import dataclass

from . import envelope, peer_id, protobuf, varint
from .errors import LIMIT, MALFORMED, WireError
from .key_file import PeerKey
from .multiaddr import Multiaddr

PROTOCOL = "/ipfs/id/1.0.0"
PUSH = "/ipfs/id/push/1.0.0"
PING = "/ipfs/ping/1.0.0"
PING_BYTES = 32
AGENT = "go-spacemesh"
"""What every node of the network calls itself: nobody is treated otherwise for another program."""
LARGEST = 16 << 10
"""Bytes of a message that are read."""
MOST_PROTOCOLS, MOST_ADDRESSES = 256, 64
_FIELDS: protobuf.Kinds = {1: bytes, 2: bytes, 3: bytes, 4: bytes, 5: bytes, 6: bytes, 8: bytes}


@dataclass(frozen=True, slots=True)
class Identify:
    """The message."""

    public_key: bytes
    """32 bytes; empty where it was left out."""
    addresses: tuple[Multiaddr, ...]
    """Where it listens."""
    protocols: tuple[str, ...]
    """Sorted."""
    observed: Multiaddr | None
    """From where the other side was seen to come."""
    agent: str
    version: str = ""
    record: bytes | None = None
    """A sealed peer record."""

    def encode(self) -> bytes:
        """With its length before it."""
        observed = None if self.observed is None else self.observed.to_bytes()
        body = protobuf.encode(
            (1, peer_id.public_key(self.public_key)),
            *((2, address.to_bytes()) for address in self.addresses),
            *((3, name.encode()) for name in self.protocols),
            (4, observed),
            (5, self.version.encode()),
            (6, self.agent.encode()),
            (8, self.record),
        )
        return varint.delimited(body)


def of(
    key: PeerKey, addresses: tuple[Multiaddr, ...], protocols: tuple[str, ...], observed: Multiaddr, sequence: int
) -> Identify:
    """What this node says of itself, with a signed record."""
    record = envelope.seal(key, envelope.PeerRecord(key.id, sequence, addresses)) if addresses else None
    return Identify(key.public, addresses, tuple(sorted(protocols)), observed, AGENT, "", record)


def decode(data: bytes) -> Identify:
    """The message in some bytes, without its length. Raises WireError."""
    if len(data) > LARGEST:
        raise WireError(f"The peer's description has {len(data)} bytes, expected at most {LARGEST}.", LIMIT)
    single: dict[int, bytes] = {}
    addresses, protocols = [], []
    for number, value in protobuf.decode(data, _FIELDS):
        assert isinstance(value, bytes)
        if number == 2:
            addresses.append(value)
        elif number == 3:
            protocols.append(value)
        else:
            single[number] = value
    if len(addresses) > MOST_ADDRESSES or len(protocols) > MOST_PROTOCOLS:
        raise WireError(
            f"The peer names {len(addresses)} addresses and {len(protocols)} protocols, expected at most "
            f"{MOST_ADDRESSES} and {MOST_PROTOCOLS}.",
            LIMIT,
        )
    try:
        texts = [name.decode() for name in (*protocols, single.get(6, b""), single.get(5, b""))]
    except UnicodeDecodeError:
        raise WireError("A name in the peer's description is no UTF-8.", MALFORMED) from None
    *names, agent, version = texts
    observed = envelope.known_addresses(single.get(4))
    return Identify(
        public_key=peer_id.read_public_key(single[1]) if 1 in single else b"",
        addresses=tuple(envelope.known_addresses(*addresses)),
        protocols=tuple(names),
        observed=observed[0] if observed else None,
        agent=agent,
        version=version,
        record=single.get(8),
    )
