"""What a request may say: addresses, filters, pages. Specified in protocol 10-api, sections 1.7 and 3.2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from api.edge.rpc import Failed, Status
from protocol.types.address import AddressError, from_text
from protocol.types.ids import Address

_KINDS = {
    "bech32": "error decoding bech32",
    "wrong_length": "wrong address length",
    "wrong_network": "unsupported network",
    "missing_reserved_space": "missing reserved space",
}
"""What the reference calls the reasons for which a text is no address."""

IDENTITY_SIZE = 32


def invalid(why: str) -> Failed:
    """The end of a call whose request lacks something, or says what cannot be."""
    return Failed(Status.INVALID_ARGUMENT, why)


def address_of(text: str, hrp: str, lead: str) -> Address:
    """An address; lead: how the error begins. Raises Failed (UNKNOWN: no other status was given to these)."""
    try:
        return from_text(text, hrp)
    except AddressError as error:
        raise Failed(Status.UNKNOWN, f"{lead} `{text}`: {_KINDS[error.reason]}: {error}") from None


def account_filter(request: Any, flags: str, name: str, parse: Callable[[str], Address]) -> tuple[Address, int]:
    """Whose data a filter asks for, and which. flags: the field; name: what errors call it. Raises Failed."""
    if not request.HasField("filter"):
        raise invalid("`Filter` must be provided")
    wanted = request.filter
    if not wanted.HasField("account_id"):
        raise invalid("`Filter.AccountId` must be provided")
    bits: int = getattr(wanted, flags)
    if not bits:
        raise invalid(f"`Filter.{name}` must set at least one bitfield")
    return parse(wanted.account_id.address), bits


def page(total: int, offset: int, most: int) -> range | None:
    """The places of a page; most: 0 for all. None: it begins behind the end, and nothing is answered at all."""
    if offset > total:
        return None
    return range(offset, min(total, offset + most) if most else total)


def identity_of(text: str) -> bytes:
    """An identity in hexadecimal. Raises Failed, in the words in which the reference's library says it."""
    data = text.encode()
    for byte in data:
        if byte not in b"0123456789abcdefABCDEF":
            shown = f" {chr(byte)!r}" if chr(byte).isprintable() else ""
            raise invalid(f"encoding/hex: invalid byte: U+{byte:04X}{shown}")
    if len(data) % 2:
        raise invalid("encoding/hex: odd length hex string")
    if len(data) != 2 * IDENTITY_SIZE:
        raise invalid(f"invalid smesher id length ({len(data) // 2}), expected ({IDENTITY_SIZE})")
    return bytes.fromhex(text)
