"""The text of an address: bech32 with the network as its prefix.

The address of an account is computed by `templates.principal_address`. The rules for reserved bytes, prefix and padding
hold for text only: in bytes the ledger takes any 24. Protocol 07-vm-and-transactions, section 1.3;
03-encoding-and-types, section 10.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce
from operator import xor

from protocol.errors import ProtocolError, shown
from protocol.types.ids import ADDRESS_SIZE, Address

SIZE = ADDRESS_SIZE
RESERVED = 4
"""Bytes at the start that are zero in every computed address."""
HASH_SIZE = SIZE - RESERVED

NETWORKS = {"mainnet": "sm", "testnet": "stest", "fastnet": "stest", "standalone": "standalone"}
"""The prefix of addresses, by network."""

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_SYMBOLS = _ALPHABET.encode().ljust(256, b"\0")
"""The character of each group."""
_GROUPS = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", bytes(range(32)))
"""The group of each character of base32, whose alphabet is another."""
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_FEEDBACK = tuple(
    reduce(xor, (factor for place, factor in enumerate(_GENERATOR) if top >> place & 1), 0) for top in range(32)
)
"""What the five bits that leave the remainder of the code come to."""
_CHECKSUM_SIZE = 6
_MIN_TEXT = 2 + _CHECKSUM_SIZE
"""One character of prefix, the separator, the checksum."""


class AddressError(ProtocolError):
    """A text that is no address of this network.

    reason: bech32, wrong_length, wrong_network, missing_reserved_space.
    """


def generate(data: bytes) -> Address:
    """The address that holds the last 20 bytes of `data`, left-aligned behind the reserved ones."""
    return Address((bytes(RESERVED) + data[-HASH_SIZE:]).ljust(SIZE, b"\0"))


def is_empty(address: bytes) -> bool:
    """Whether all bytes behind the reserved ones are zero; those are not looked at."""
    return not any(address[RESERVED:])


def to_text(address: bytes, hrp: str) -> str:
    """The address with the prefix of a network. Raises AddressError (wrong_length) unless it has 24 bytes."""
    if len(address) != SIZE:
        raise AddressError(f"The address has {len(address)} bytes, expected {SIZE}.", "wrong_length")
    groups = _to_groups(address)
    checksum = _checksum(groups + bytes(_CHECKSUM_SIZE), _begun(hrp)) ^ 1
    groups += bytes([checksum >> 5 * (_CHECKSUM_SIZE - 1 - place) & 31 for place in range(_CHECKSUM_SIZE)])
    return f"{hrp}1{groups.translate(_SYMBOLS).decode()}"


def from_text(text: str, hrp: str) -> Address:
    """The address in a text, which must be one of the network with this prefix.

    Padding bits and a 25th byte are not looked at, as the network does not. Raises AddressError, for the first of:
    bech32 (syntax or checksum), wrong_length, wrong_network, missing_reserved_space.
    """
    found_hrp, groups = _decode(text)
    data = _from_groups(groups)
    if len(data) != SIZE + 1:
        raise AddressError(
            f"The address {shown(text)} has {len(groups)} characters between prefix and checksum, expected "
            f"{-(-SIZE * 8 // 5)}: it is no address of an account.",
            "wrong_length",
        )
    if found_hrp != hrp:
        raise AddressError(
            f"The address {shown(text)} begins with {found_hrp!r}, but addresses of this network begin with {hrp!r}: "
            "it belongs to another network.",
            "wrong_network",
        )
    if any(data[:RESERVED]):
        raise AddressError(
            f"The address {shown(text)} has a set bit in its first {RESERVED} bytes, which must be zero: no account "
            "has this address.",
            "missing_reserved_space",
        )
    return Address(data[:SIZE])


# ---- bech32 ----


def _decode(text: str) -> tuple[str, list[int]]:
    """Prefix and groups of five bits, without the checksum. Any length is taken."""

    def refuse(why: str) -> AddressError:
        return AddressError(f"{shown(text)} is no address: {why}.", "bech32")

    if len(text) < _MIN_TEXT:
        raise refuse(f"it has {len(text)} characters, too few for a prefix and a checksum")
    if wrong := next((character for character in text if not "!" <= character <= "~"), None):
        raise refuse(f"it holds the character {wrong!r}")
    lower = text.lower()
    if text not in (lower, text.upper()):
        raise refuse("upper-case and lower-case letters are mixed")
    hrp, separator, symbols = lower.rpartition("1")
    if not separator or not hrp:
        raise refuse('a prefix with a "1" behind it, such as "sm1", is missing')
    if len(symbols) < _CHECKSUM_SIZE:
        raise refuse(f'the checksum of {_CHECKSUM_SIZE} characters behind the last "1" is cut')
    if wrong := next((symbol for symbol in symbols if symbol not in _VALUES), None):
        raise refuse(f"the character {wrong!r} is never used behind the prefix")
    groups = [_VALUES[symbol] for symbol in symbols]
    if _checksum(groups, _begun(hrp)) != 1:
        raise refuse("its checksum does not fit, so at least one character is mistyped, missing or too many")
    return hrp, groups[:-_CHECKSUM_SIZE]


@lru_cache(maxsize=16)
def _begun(hrp: str) -> int:
    """The remainder of the code behind a prefix."""
    codes = hrp.encode()
    return _checksum([code >> 5 for code in codes] + [0] + [code & 31 for code in codes], 1)


def _checksum(values: Iterable[int], remainder: int) -> int:
    """The remainder of the code: 1 behind everything where the values end in their checksum."""
    for value in values:
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value ^ _FEEDBACK[remainder >> 25]
    return remainder


def _to_groups(data: bytes) -> bytes:
    """Groups of five bits, the last one filled up with zero bits."""
    return base64.b32encode(data).rstrip(b"=").translate(_GROUPS)


def _from_groups(groups: Sequence[int]) -> bytes:
    """Bytes, the last one filled up with zero bits."""
    size = -(-len(groups) * 5 // 8)
    number = 0
    for group in groups:
        number = number << 5 | group
    return (number << size * 8 - len(groups) * 5).to_bytes(size, "big")
