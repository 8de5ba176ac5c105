"""Signed records of peers: an envelope around who a peer is and where it can be reached. Protocol 09a, section 1.3."""

from __future__ import annotations

from dataclasses import dataclass

from node.contract.messages import PeerId

from . import multiaddr, peer_id, protobuf, varint
from .errors import MALFORMED, NOT_AUTHENTIC, UNSUPPORTED, WireError
from .key_file import PeerKey, verify
from .multiaddr import Multiaddr

DOMAIN = b"libp2p-peer-record"
PEER_RECORD = b"\x03\x01"
"""The type of what is in the envelope."""
_ENVELOPE: protobuf.Kinds = {1: bytes, 2: bytes, 3: bytes, 5: bytes}
_RECORD: protobuf.Kinds = {1: bytes, 2: int, 3: bytes}
_ADDRESS: protobuf.Kinds = {1: bytes}


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """What a peer says of itself."""

    peer: PeerId
    sequence: int
    """Later ones count; nanoseconds since 1970 are usual."""
    addresses: tuple[Multiaddr, ...]

    def encode(self) -> bytes:
        """As it is signed."""
        addresses = [(3, protobuf.encode((1, address.to_bytes()))) for address in self.addresses]
        return protobuf.encode((1, self.peer), (2, self.sequence), *addresses)


def seal(key: PeerKey, record: PeerRecord) -> bytes:
    """The record in an envelope signed by its peer."""
    payload = record.encode()
    return protobuf.encode(
        (1, peer_id.public_key(key.public)), (2, PEER_RECORD), (3, payload), (5, key.sign(_signed(payload)))
    )


def _signed(payload: bytes) -> bytes:
    return b"".join(varint.delimited(one) for one in (DOMAIN, PEER_RECORD, payload))


def open_record(data: bytes) -> PeerRecord:
    """The record in an envelope, which its peer has signed. Raises WireError.

    Addresses of kinds that are not known here are left out.
    """
    found = protobuf.last(data, _ENVELOPE)
    key, kind, payload, signature = (found.get(number, b"") for number in (1, 2, 3, 5))
    assert isinstance(key, bytes) and isinstance(kind, bytes)
    assert isinstance(payload, bytes) and isinstance(signature, bytes)
    if kind != PEER_RECORD:
        raise WireError(f"The envelope holds {kind.hex() or 'nothing'}, expected a peer record.", UNSUPPORTED)
    public = peer_id.read_public_key(key)
    if not verify(public, signature, _signed(payload)):
        raise WireError("The signature of a peer record does not hold.", NOT_AUTHENTIC)
    peer, sequence, addresses = b"", 0, []
    for number, value in protobuf.decode(payload, _RECORD):
        if isinstance(value, int):
            sequence = value
        elif number == 1:
            peer = value
        else:
            addresses += known_addresses(protobuf.last(value, _ADDRESS).get(1))
    if peer != peer_id.of_public_key(public):
        raise WireError("A peer record is of another peer than the one that signed it.", MALFORMED)
    return PeerRecord(PeerId(peer), sequence, tuple(addresses))


def known_addresses(*found: object) -> list[Multiaddr]:
    """The addresses that are understood here; a list of a peer may hold others."""
    known = []
    for data in found:
        if isinstance(data, bytes):
            try:
                known.append(multiaddr.from_bytes(data))
            except WireError:
                continue  # of a kind that other programs dial
    return known
