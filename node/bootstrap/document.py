"""What a fallback document says, which epochs need one, and where its files are.

`{"version": …, "data": {"epoch": {"number": 7, "beacon": "6fe7c971", "activeSet": [id, …] or null}}}`; further fields
are passed over. Protocol 04b, section 1.8, and 03b-config-and-genesis, section 6.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from protocol.errors import shown
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import BEACON_SIZE, ID_SIZE, NO_BEACON, AtxId, Beacon, EpochId

from .errors import DocumentRefused

VERSION = "https://spacemesh.io/bootstrap.schema.json.1.0"
MAX_EPOCH = (1 << 32) - 1


class Part(Enum):
    """Which of the files of an epoch, by the end of its name."""

    BEACON = "bc"
    ACTIVE_SET = "as"
    BOTH = "bs"


@dataclass(frozen=True, slots=True)
class Document:
    """What is published for an epoch."""

    epoch: EpochId
    beacon: Beacon | None
    """None: zeros were published, which say nothing."""
    active_set: tuple[AtxId, ...]
    """In the order of the document; empty: it says nothing of it."""


def file_name(epoch: EpochId, ending: str) -> str:
    """The name of a file of an epoch. ending: that of a part."""
    return f"epoch-{epoch}-update-{ending}"


def address(url: str, epoch: EpochId, ending: str) -> str:
    """Where a file of an epoch is. url: that of all files, without a slash at the end."""
    return f"{url}/{file_name(epoch, ending)}"


def required_epochs(time: NetworkTime, current: EpochId) -> tuple[EpochId, ...]:
    """The epochs for which a document is asked for while `current` runs, ascending."""
    if current == 0:
        return ()
    if current == 1:
        return (EpochId(2),)
    first = current if current in (2, time.epoch_of(time.effective_genesis)) else current - 1
    return tuple(EpochId(epoch) for epoch in range(first, current + 2))


def read(data: bytes, version: str = VERSION) -> Document:
    """What a document says. Raises DocumentRefused (json, schema, version, beacon)."""
    try:
        document = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise DocumentRefused(f"The document is not JSON: {error}", "json") from None
    found = _object(document, "the document")
    said = found.get("version")
    _require(isinstance(said, str), "version", said, "a text")
    epoch = _object(_object(found.get("data"), "data").get("epoch"), "data.epoch")
    number, beacon = epoch.get("number", 0), epoch.get("beacon")
    _require(_is_whole(number) and number >= 0, "data.epoch.number", number, "a whole number, not below 0")
    _require(
        beacon is None or (isinstance(beacon, str) and len(beacon) >= 2 * BEACON_SIZE),
        "data.epoch.beacon",
        beacon,
        f"{2 * BEACON_SIZE} hexadecimal digits",
    )
    ids = _texts(epoch.get("activeSet"))
    if not isinstance(number, int) or number > MAX_EPOCH:
        raise DocumentRefused(f"data.epoch.number is {number}, expected 0 to {MAX_EPOCH}.", "json")
    if said != version:
        raise DocumentRefused(f"version is {_shown(said)}, expected {version!r}.", "version")
    return Document(EpochId(number), _beacon(beacon), tuple(_id(text) for text in ids))


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _object(value: Any, name: str) -> dict[str, Any]:
    _require(isinstance(value, dict), name, value, "an object")
    found: dict[str, Any] = value
    return found


def _is_whole(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    name = "data.epoch.activeSet"
    _require(isinstance(value, list) and all(isinstance(one, str) for one in value), name, value, "a list of texts")
    found: list[str] = value
    _require(len(set(found)) == len(found), name, f"a list of {len(found)} ids", "each id once")
    return found


def _require(holds: bool, name: str, found: Any, expected: str) -> None:
    if not holds:
        raise DocumentRefused(f"{name} is {_shown(found)}, expected {expected}.", "schema")


def _shown(value: Any) -> str:
    return "absent" if value is None else shown(value)


def _beacon(text: str | None) -> Beacon | None:
    """The first four bytes of hexadecimal digits, without a prefix."""
    try:
        found = _hexadecimal(text or "")
    except ValueError:
        found = b""
    if len(found) < BEACON_SIZE:
        raise DocumentRefused(
            f"data.epoch.beacon is {_shown(text)}, expected {2 * BEACON_SIZE} or more hexadecimal digits.", "beacon"
        )
    return None if found[:BEACON_SIZE] == NO_BEACON else Beacon(found[:BEACON_SIZE])


def _id(text: str) -> AtxId:
    """The last 32 bytes, zeros before shorter ones; what is not hexadecimal names no ATX: zeros."""
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    try:
        found = _hexadecimal(digits.rjust(len(digits) + len(digits) % 2, "0"))
    except ValueError:
        found = b""
    return AtxId(found[-ID_SIZE:].rjust(ID_SIZE, b"\0"))


def _hexadecimal(digits: str) -> bytes:
    """Without the spaces that Python lets through. Raises ValueError."""
    if digits and not digits.isalnum():
        raise ValueError("no hexadecimal digits")
    return bytes.fromhex(digits)
