"""Questions of the table of peers that all nodes keep together (Kademlia). Protocol 09a, section 1.5.

Only who is near a key is asked for, and whether a peer is there; records of others are not kept here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

from node.contract.messages import PeerId

from . import envelope, peer_id, protobuf, varint
from .errors import LIMIT, UNSUPPORTED, WireError
from .multiaddr import Multiaddr

PROTOCOL = "/spacekad/kad/1.0.0"
CLOSEST = 20
"""Peers of an answer, and of each bucket of the table."""
LARGEST = 4 << 20
"""Bytes of a message."""
MOST_PEERS, MOST_ADDRESSES = 64, 64
CLUSTER_LEVEL = 1
_FIELDS: protobuf.Kinds = {1: int, 2: bytes, 8: bytes, 9: bytes, 10: int}
_PEER: protobuf.Kinds = {1: bytes, 2: bytes, 3: int}


class Kind(IntEnum):
    """Of messages."""

    PUT_VALUE = 0
    GET_VALUE = 1
    ADD_PROVIDER = 2
    GET_PROVIDERS = 3
    FIND_NODE = 4
    PING = 5


class Connection(IntEnum):
    """How whoever answers stands with a peer that he names."""

    NOT_CONNECTED = 0
    CONNECTED = 1
    CAN_CONNECT = 2
    CANNOT_CONNECT = 3


@dataclass(frozen=True, slots=True)
class NearPeer:
    """A peer of an answer."""

    id: PeerId
    addresses: tuple[Multiaddr, ...]
    connection: int = Connection.NOT_CONNECTED

    def encode(self) -> bytes:
        """As a field of a message."""
        addresses = ((2, address.to_bytes()) for address in self.addresses)
        return protobuf.encode((1, self.id), *addresses, (3, int(self.connection)))


@dataclass(frozen=True, slots=True)
class Message:
    """A question or an answer."""

    kind: Kind
    key: bytes = b""
    closer: tuple[NearPeer, ...] = ()
    providers: tuple[NearPeer, ...] = ()
    level: int = 0

    def encode(self) -> bytes:
        """With its length before it, its fields as the reference writes them."""
        body = protobuf.encode(
            (1, int(self.kind)),
            (2, self.key or None),
            *((8, peer.encode()) for peer in self.closer),
            *((9, peer.encode()) for peer in self.providers),
            (10, self.level or None),
        )
        return varint.delimited(body)


def find_node(key: bytes) -> Message:
    """Who is near a key?"""
    return Message(Kind.FIND_NODE, key)


def found(closer: tuple[NearPeer, ...]) -> Message:
    """These are."""
    return Message(Kind.FIND_NODE, closer=closer, level=CLUSTER_LEVEL)


def decode(data: bytes) -> Message:
    """The message in some bytes, without its length. Raises WireError.

    Peers whose id is none are left out, and addresses that are not known here.
    """
    if len(data) > LARGEST:
        raise WireError(f"The message has {len(data)} bytes, expected at most {LARGEST}.", LIMIT)
    kind, key, level = 0, b"", 0
    peers: dict[int, list[NearPeer]] = {8: [], 9: []}
    for number, value in protobuf.decode(data, _FIELDS):
        if isinstance(value, int):
            kind, level = (value, level) if number == 1 else (kind, value)
        elif number == 2:
            key = value
        else:
            if len(peers[number]) >= MOST_PEERS:
                raise WireError(f"The message names more than {MOST_PEERS} peers.", LIMIT)
            peers[number] += _near(value)
    if kind not in tuple(Kind):
        raise WireError(f"The message has the type {kind}, which is not known.", UNSUPPORTED)
    return Message(Kind(kind), key, tuple(peers[8]), tuple(peers[9]), level)


def _near(data: bytes) -> list[NearPeer]:
    id, connection = b"", 0
    addresses: list[bytes] = []
    for number, value in protobuf.decode(data, _PEER):
        if isinstance(value, int):
            connection = value
        elif number == 1:
            id = value
        elif len(addresses) < MOST_ADDRESSES:
            addresses.append(value)
    try:
        return [NearPeer(peer_id.check(id), tuple(envelope.known_addresses(*addresses)), connection)]
    except WireError:
        return []  # as one that cannot be dialled


def place(key: bytes) -> int:
    """Where a key or a peer id is in the table: peers are near whose places differ only in low bits."""
    return int.from_bytes(hashlib.sha256(key).digest(), "big")
