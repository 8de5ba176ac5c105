"""Ids as people and JSON see them: base64 or hexadecimal, each kind in one of them.

Line breaks within base64 and bits behind the last byte are ignored, so several texts may name one id; compare bytes.
Protocol 03-encoding-and-types, section 3.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode

from protocol.errors import ProtocolError
from protocol.errors import shown as quoted

SHORT_SIZE = 5
"""Bytes of ids of ballots, blocks and activations that are shown in logs; of all other ids, every byte is."""

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_HEX = re.compile(r"0[xX][0-9a-fA-F]*")
_LINE_BREAKS = str.maketrans("", "", "\r\n")


class TextError(ProtocolError):
    """A text that is no id of this kind. reason: base64, hex, length."""


def to_base64(data: bytes) -> str:
    """The text of ids of activations, nodes, ballots and blocks, and of beacons."""
    return b64encode(data).decode()


def from_base64(text: str, size: int, what: str) -> bytes:
    """The id in a text. what: "ATX id", for the error. Raises TextError."""
    data = decode_base64(text, what)
    if len(data) != size:
        raise TextError(f"The {what} {quoted(text)} has {len(data)} bytes, expected {size}.", "length")
    return data


def decode_base64(text: str, what: str) -> bytes:
    """Bytes of any number: of a PoET's public key. Raises TextError (base64)."""
    joined = text.translate(_LINE_BREAKS)
    if _BASE64.fullmatch(joined) is None:
        raise TextError(f"The {what} {quoted(text)} is no base64 with its padding.", "base64")
    return b64decode(joined)


def to_hex(data: bytes) -> str:
    """The text of hashes."""
    return "0x" + data.hex()


def from_hex(text: str, size: int, what: str) -> bytes:
    """The hash in a text. what: "hash", for the error. Raises TextError."""
    if _HEX.fullmatch(text) is None or len(text) % 2:
        raise TextError(f"The {what} {quoted(text)} is not 0x with pairs of hexadecimal digits.", "hex")
    data = bytes.fromhex(text[2:])
    if len(data) != size:
        raise TextError(f"The {what} {quoted(text)} has {len(data)} bytes, expected {size}.", "length")
    return data


def shown(data: bytes, is_short: bool = False) -> str:
    """The form for logs. is_short: ids of ballots, blocks and activations."""
    return data[:SHORT_SIZE].hex() if is_short else data.hex()
