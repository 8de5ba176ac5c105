"""Addresses of peers: parts with slashes, each a word or a word and its value. Protocol 09a, section 1.

Those that a node dials have an IP address or a name, a TCP port, and perhaps a peer id; others are read so that a list
that holds them can be read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from node.contract.messages import PeerId

from . import base58, peer_id, varint
from .errors import LIMIT, MALFORMED, TRUNCATED, UNSUPPORTED, WireError

LONGEST_NAME = 255
"""Bytes of a host's name, or of another text."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A word of addresses."""

    name: str
    code: int
    size: int | None
    """Bytes of its value: 0 for a word that stands alone; None: they are counted before it."""
    to_bytes: Callable[[str], bytes] = str.encode
    """Raises ValueError."""
    to_text: Callable[[bytes], str] = bytes.decode
    """Raises ValueError."""


def _port(text: str) -> bytes:
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) < 1 << 16):
        raise ValueError(f"{text!r} is no port, expected 0 to 65535")
    return int(text).to_bytes(2, "big")


def _port_text(data: bytes) -> str:
    return str(int.from_bytes(data, "big"))


def _ip6_text(data: bytes) -> str:
    address = ipaddress.IPv6Address(data)
    mapped = address.ipv4_mapped
    return str(address) if mapped is None else f"::ffff:{mapped}"


def _named(text: str) -> bytes:
    data = text.encode()
    if not 0 < len(data) <= LONGEST_NAME:
        raise ValueError(f"a name has {len(data)} bytes, expected 1 to {LONGEST_NAME}")
    return data


def _named_text(data: bytes) -> str:
    text = data.decode()
    if not text or "/" in text:
        raise ValueError("a name is empty, or has a slash")
    return text


def _peer_text(data: bytes) -> str:
    return peer_id.to_text(peer_id.check(data))


KINDS = (
    Kind("ip4", 4, 4, lambda text: ipaddress.IPv4Address(text).packed, lambda data: str(ipaddress.IPv4Address(data))),
    Kind("tcp", 6, 2, _port, _port_text),
    Kind("ip6", 41, 16, lambda text: ipaddress.IPv6Address(text).packed, _ip6_text),
    Kind("ip6zone", 42, None, _named, _named_text),
    Kind("dns", 53, None, _named, _named_text),
    Kind("dns4", 54, None, _named, _named_text),
    Kind("dns6", 55, None, _named, _named_text),
    Kind("dnsaddr", 56, None, _named, _named_text),
    Kind("udp", 273, 2, _port, _port_text),
    Kind("webrtc-direct", 280, 0),
    Kind("p2p-circuit", 290, 0),
    Kind("p2p", 421, None, lambda text: peer_id.from_text(text), _peer_text),
    Kind("tls", 448, 0),
    Kind("sni", 449, None, _named, _named_text),
    Kind("noise", 454, 0),
    Kind("quic", 460, 0),
    Kind("quic-v1", 461, 0),
    Kind("webtransport", 465, 0),
    Kind("certhash", 466, None, base58.decode, base58.encode),
    Kind("ws", 477, 0),
    Kind("wss", 478, 0),
)
_BY_NAME = {kind.name: kind for kind in KINDS} | {"ipfs": next(kind for kind in KINDS if kind.name == "p2p")}
_BY_CODE = {kind.code: kind for kind in KINDS}
_HOSTS = ("ip4", "ip6", "dns", "dns4", "dns6")


@dataclass(frozen=True, slots=True)
class Multiaddr:
    """An address, as it is written."""

    parts: tuple[tuple[str, str], ...]
    """Word and value; the value is empty where the word stands alone."""

    def __str__(self) -> str:
        return "".join(f"/{name}/{value}" if value else f"/{name}" for name, value in self.parts)

    def to_bytes(self) -> bytes:
        """As it is sent."""
        pieces = []
        for name, value in self.parts:
            kind = _BY_NAME[name]
            pieces.append(varint.encode(kind.code))
            if kind.size != 0:
                data = kind.to_bytes(value)
                pieces.append(varint.delimited(data) if kind.size is None else data)
        return b"".join(pieces)

    def value(self, name: str) -> str | None:
        """The first value of a word; None where it is not there."""
        return next((value for word, value in self.parts if word == name), None)

    @property
    def tcp(self) -> tuple[str, int] | None:
        """Host and port where it is dialled over TCP alone; None for other ways."""
        names = [name for name, _ in self.parts]
        if names[-1:] == ["p2p"]:
            names.pop()
        if len(names) != 2 or names[0] not in _HOSTS or names[1] != "tcp":
            return None
        return self.parts[0][1], int(self.parts[1][1])

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The IP address that it begins with; None where it has a name, or none."""
        return next((ipaddress.ip_address(value) for name, value in self.parts if name in ("ip4", "ip6")), None)

    @property
    def peer(self) -> PeerId | None:
        """The peer that it leads to: the last one."""
        last = next((value for name, value in reversed(self.parts) if name == "p2p"), None)
        return None if last is None else peer_id.from_text(last)

    def without_peer(self) -> Multiaddr:
        """Without the peer id at its end."""
        return Multiaddr(self.parts[:-1]) if self.parts and self.parts[-1][0] == "p2p" else self


def from_text(text: str) -> Multiaddr:
    """The address in a text, in its canonical form. Raises WireError, which quotes it."""
    pieces = text.removesuffix("/").split("/")
    if pieces[0] or len(pieces) < 2:
        raise WireError(f"The address {text!r} has no parts such as /ip4/127.0.0.1/tcp/7513.", MALFORMED)
    rest, parts = iter(pieces[1:]), []
    for name in rest:
        kind = _BY_NAME.get(name)
        if kind is None:
            raise WireError(f"The address {text!r} has the part {name!r}, which is not known.", UNSUPPORTED)
        if kind.size == 0:
            parts.append((kind.name, ""))
            continue
        value = next(rest, None)
        if value is None:
            raise WireError(f"The address {text!r} ends with {name}, without a value.", TRUNCATED)
        try:
            parts.append((kind.name, kind.to_text(kind.to_bytes(value))))
        except (ValueError, WireError) as error:
            raise WireError(f"In the address {text!r}, {name} is {value!r}: {error}", MALFORMED) from None
    return Multiaddr(tuple(parts))


def is_text(text: str) -> bool:
    """Whether a text is an address."""
    try:
        from_text(text)
    except WireError:
        return False
    return True


def from_bytes(data: bytes) -> Multiaddr:
    """The address in some bytes. Raises WireError."""
    if not data:
        raise WireError("An address is empty.", MALFORMED)
    return Multiaddr(tuple(_parts(data)))


def _parts(data: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(data):
        code, at = varint.take(data, at)
        kind = _BY_CODE.get(code)
        if kind is None:
            raise WireError(f"An address has a part of the kind {code}, which is not known.", UNSUPPORTED)
        if kind.size == 0:
            yield kind.name, ""
            continue
        size, at = varint.take(data, at) if kind.size is None else (kind.size, at)
        if kind.size is None and size > LONGEST_NAME:
            raise WireError(f"An address has a part of {size} bytes, expected at most {LONGEST_NAME}.", LIMIT)
        value, at = data[at : at + size], at + size
        if len(value) < size:
            raise WireError(f"An address ends within its part {kind.name}.", TRUNCATED)
        try:
            text = kind.to_text(value)
        except (ValueError, WireError) as error:
            raise WireError(f"An address has a wrong part {kind.name}: {str(error).rstrip('.')}.", MALFORMED) from None
        yield kind.name, text
