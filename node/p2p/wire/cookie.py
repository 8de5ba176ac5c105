"""The cookie of a network, with which peers begin over QUIC, where the handshake has no room for it.

    0x21 0x23 0x42 0x42, length as LEB128, the network's name

QUIC itself is not spoken here; over TCP the same name is the prologue of the handshake. Protocol 09a, section 1.2.
"""

from __future__ import annotations

from . import varint
from .errors import LIMIT, MALFORMED, TRUNCATED, WireError

PREFIX = b"\x21\x23\x42\x42"
LONGEST = 64
"""Bytes of a cookie."""


def network_name(genesis_id: bytes, effective_genesis: int) -> bytes:
    """What all nodes of a network have in common. genesis_id: 20 bytes."""
    return f"{genesis_id.hex()}-{effective_genesis}".encode()


def encode(cookie: bytes) -> bytes:
    """What either side begins with."""
    return PREFIX + varint.delimited(cookie)


def decode(data: bytes) -> bytes:
    """The cookie that a peer began with; what follows it is not looked at.

    Raises WireError: malformed is final, for anything else it may be tried again.
    """
    if len(data) < len(PREFIX):
        raise WireError("The peer ended within its first bytes.", TRUNCATED)
    if not data.startswith(PREFIX):
        raise WireError("The peer begins with other bytes than those of this kind of network.", MALFORMED)
    try:
        size, at = varint.take(data, len(PREFIX))
    except WireError as error:
        raise WireError(str(error), LIMIT if error.reason == MALFORMED else error.reason) from None
    if size > LONGEST:
        raise WireError(f"The peer's cookie has {size} bytes, expected at most {LONGEST}.", LIMIT)
    if len(data) < at + size:
        raise WireError("The peer ended within its cookie.", TRUNCATED)
    return data[at : at + size]
