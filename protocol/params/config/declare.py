"""How a section declares its settings: key, kind of value, default. How they are read is the top floor's.

Keys are those of the network's configuration files. Protocol 03b-config-and-genesis, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

NOTHING: Mapping[Any, Any] = MappingProxyType({})
"""An empty map that cannot be changed."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Which values a setting may have."""

    name: str
    least: int | None = None
    """Of a whole number."""
    most: int | None = None
    record: type | None = None
    """The dataclass of a record, of the items of a list, or of the values of a map."""


def _unsigned(bits: int) -> Kind:
    return Kind("integer", 0, (1 << bits) - 1)


def _signed(bits: int) -> Kind:
    return Kind("integer", -(1 << bits - 1), (1 << bits - 1) - 1)


TEXT = Kind("text")
TEXTS = Kind("texts")
"""A tuple of texts."""
ADDRESSES = Kind("addresses")
"""A tuple of multiaddrs."""
BOOLEAN = Kind("boolean")
UINT8, UINT16, UINT32, UINT64 = (_unsigned(bits) for bits in (8, 16, 32, 64))
INT8, INT64 = (_signed(bits) for bits in (8, 64))
INTEGERS = Kind("integers")
"""A tuple of signed 64-bit numbers."""
FLOAT = Kind("float")
RATIONAL = Kind("rational")
DURATION = Kind("duration")
"""Nanoseconds in 64 signed bits."""
TIME = Kind("time")
"""A `Time` of `protocol.numbers.time`."""
DIFFICULTY = Kind("hash32")
HASH20 = Kind("hash20")
PUBLIC_KEY = Kind("public key")
PROVIDER = Kind("provider")
"""The number of a device, or None."""
POW_FLAGS = Kind("pow flags")
"""An unsigned 32-bit number that files hold as a text."""
OLD_POET_SERVER = Kind("old poet server")
"""A key of former releases, which has no value any more."""
BALANCES = Kind("balances")
"""A map of addresses to smidge."""
HEADERS = Kind("headers")
"""A map of names to texts."""
ATX_VERSIONS = Kind("atx versions")
"""A map of epochs to the ATX version that begins with them."""


def optional(kind: type) -> Kind:
    """A record that may be absent."""
    return Kind("record", record=kind)


def records(kind: type) -> Kind:
    """A tuple of records."""
    return Kind("records", record=kind)


def record_map(kind: type) -> Kind:
    """A map of names to records."""
    return Kind("record map", record=kind)


def setting(key: str, kind: Kind, default: Any, *, by_name: bool = False) -> Any:
    """Declare a setting of a section.

    key: its key in a file; by_name: the reference gives it no key of its own, so files reach it by the name of its
    field.
    """
    metadata = {"key": key, "kind": kind, "by_name": by_name}
    if isinstance(default, Mapping):  # not hashable, so a dataclass takes it for mutable
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


def section(key: str, kind: type, *, by_name: bool = False, **changed: Any) -> Any:
    """Declare a section inside another; `changed` are defaults that differ from those of its type."""
    return field(default_factory=lambda: kind(**changed), metadata={"key": key, "section": kind, "by_name": by_name})
