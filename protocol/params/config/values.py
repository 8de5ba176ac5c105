"""How one setting is read and written: kinds of values, and the declaration of a setting in its section.

A kind reads three forms: what a configuration file holds, what a flag or an environment variable holds, and writes
the first of them. The reference reads loosely: it wraps, cuts and rounds without a word. Ours reads the same files
but refuses what would lose something; `as_reference` brings the loose reading back.
Protocol 03b-config-and-genesis, section 3.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from protocol.errors import ProtocolError
from protocol.numbers import durations
from protocol.params.genesis import GenesisError, GenesisTime

NOTHING: Mapping[Any, Any] = MappingProxyType({})
"""An empty map that cannot be changed."""


class ConfigError(ProtocolError):
    """A configuration that cannot be used. The message names the path of the setting.

    reason: not_json, not_toml, config_file_missing, unknown_key, bad_value, deprecated_key, unknown_preset,
    unknown_flag, bad_flag_value.
    """


class BadValue(Exception):
    """Why a value does not fit a setting; the loader adds the path."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of values."""

    expected: str
    """What a person should write."""
    from_file: Callable[[Any, bool], Any]
    """The value of what a file holds; the second argument is as_reference. Raises BadValue."""
    from_flag: Callable[[str], Any]
    """The value of a flag's text. Raises BadValue."""
    to_file: Callable[[Any], Any]
    """What a file holds for a value."""
    appends: bool = False
    """Whether several flags of this kind add up."""


def setting(
    key: str, kind: Kind, default: Any, *, flag: bool | str = False, short: str = "", by_name: bool = False
) -> Any:
    """Declare a setting of a section.

    key: its key in a file; flag: True for a flag of the same name, else the flag's name; short: its letter;
    by_name: the reference gives it no key of its own, so files reach it by the name of its field.
    """
    name = key if flag is True else flag or ""
    metadata = {"key": key, "kind": kind, "flag": name, "short": short, "by_name": by_name}
    if isinstance(default, Mapping):  # not hashable, so a dataclass takes it for mutable
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


def section(key: str, kind: type, *, by_name: bool = False, **changed: Any) -> Any:
    """Declare a section inside another; `changed` are defaults that differ from those of its type."""
    return field(default_factory=lambda: kind(**changed), metadata={"key": key, "section": kind, "by_name": by_name})


def same(value: Any) -> Any:
    """What needs no conversion."""
    return value


# Texts


def _text_from_file(value: Any, as_reference: bool) -> str:
    if isinstance(value, str):
        return value
    if as_reference and isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise BadValue


TEXT = Kind("a text", _text_from_file, same, same)


def _texts_from_file(value: Any, as_reference: bool) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(_text_from_file(item, as_reference) for item in value)
    return _texts_from_flag(_text_from_file(value, as_reference))


def _texts_from_flag(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


TEXTS = Kind("a list of texts, or one text with commas", _texts_from_file, _texts_from_flag, list, appends=True)


def _port(text: str) -> None:
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise ValueError


def _peer_id(text: str) -> None:
    if not re.fullmatch(r"[1-9A-HJ-NP-Za-km-z]{20,}", text):
        raise ValueError


_ADDRESS_PARTS: Mapping[str, Callable[[str], object]] = {
    "ip4": ipaddress.IPv4Address,
    "ip6": ipaddress.IPv6Address,
    "ip6zone": str,
    "dns": str,
    "dns4": str,
    "dns6": str,
    "dnsaddr": str,
    "tcp": _port,
    "udp": _port,
    "p2p": _peer_id,
    "unix": str,
}
"""Parts of a multiaddr that take an argument, with its check (raises ValueError)."""
_ADDRESS_WORDS = ("quic", "quic-v1", "webtransport", "ws", "wss", "tls", "noise", "p2p-circuit")
"""Parts that stand alone."""


def _is_multiaddr(text: str) -> bool:
    before, *parts = text.split("/")
    if before or not parts:
        return False
    parts.reverse()
    while parts:
        name = parts.pop()
        if name in _ADDRESS_WORDS:
            continue
        if name not in _ADDRESS_PARTS or not parts or not parts[-1]:
            return False
        try:
            _ADDRESS_PARTS[name](parts.pop())
        except ValueError:
            return False
    return True


def _addresses(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if not _is_multiaddr(text):
            raise BadValue(f"{text[:60]!r} is no such address")
    return texts


ADDRESSES = Kind(
    "addresses such as /ip4/0.0.0.0/tcp/7513, as a list or with commas",
    lambda value, as_reference: _addresses(_texts_from_file(value, as_reference)),
    lambda text: _addresses(_texts_from_flag(text)),
    list,
    appends=True,
)

# Numbers


def _boolean_from_flag(text: str) -> bool:
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise BadValue


def _boolean_from_file(value: Any, as_reference: bool) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return False if as_reference and not value else _boolean_from_flag(value)
    if isinstance(value, (int, float)) and (as_reference or value in (0, 1)):
        return bool(value)
    raise BadValue


BOOLEAN = Kind("true or false", _boolean_from_file, _boolean_from_flag, same)


def _go_integer(text: str) -> int:
    """An integer in any of Go's bases, where a leading zero means eight."""
    sign, digits = ("-" if text[:1] == "-" else ""), text.lstrip("+-")
    if len(text) - len(digits) > 1:
        raise BadValue
    if re.fullmatch("0[0-7]+", digits):
        digits = "0o" + digits[1:]
    try:
        return int(sign + digits, 0)
    except ValueError:
        raise BadValue from None


def _integer(bits: int, signed: bool) -> Kind:
    lowest = -(1 << bits - 1) if signed else 0
    highest = (1 << bits - signed) - 1

    def in_range(value: int) -> int:
        if not lowest <= value <= highest:
            raise BadValue
        return value

    def from_flag(text: str) -> int:
        return in_range(_go_integer(text))

    def loose(value: Any) -> int:
        if isinstance(value, str):
            return in_range(_go_integer(value)) if value else 0
        number = float(value)
        if not math.isfinite(number):
            raise BadValue
        whole = 1 << 63 if number >= 1 << 64 else int(number)
        cut = whole & (1 << bits) - 1
        return cut - (1 << bits) if signed and cut >> bits - 1 else cut

    def from_file(value: Any, as_reference: bool) -> int:
        if as_reference and isinstance(value, (str, bool, int, float)):
            return loose(value)
        if isinstance(value, str):
            # a leading zero means eight to the reference and ten to everybody else
            if re.fullmatch("[+-]?0[0-9]+", value):
                raise BadValue(f"{value!r} has a leading zero")
            return from_flag(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValue
        return in_range(value)

    def to_file(value: int) -> Any:
        return value if abs(value) <= 1 << 53 else str(value)

    return Kind(f"a whole number from {lowest} to {highest}", from_file, from_flag, to_file)


UINT8, UINT16, UINT32, UINT64 = (_integer(bits, signed=False) for bits in (8, 16, 32, 64))
INT8, INT64 = (_integer(bits, signed=True) for bits in (8, 64))


def _integers_from_file(value: Any, as_reference: bool) -> tuple[int, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(INT64.from_file(item, as_reference) for item in items)


INTEGERS = Kind(
    "a list of whole numbers",
    _integers_from_file,
    lambda text: tuple(INT64.from_flag(item) for item in text.split(",")),
    list,
)


def _float_from_flag(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadValue from None


def _float_from_file(value: Any, as_reference: bool) -> float:
    if isinstance(value, str):
        return _float_from_flag(value) if value or not as_reference else 0.0
    if isinstance(value, (int, float)) and (as_reference or not isinstance(value, bool)):
        return float(value)
    raise BadValue


FLOAT = Kind("a number", _float_from_file, _float_from_flag, lambda value: int(value) if value == int(value) else value)


def _rational_from_flag(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise BadValue from None


def _rational_from_file(value: Any, as_reference: bool) -> Fraction:
    if isinstance(value, str):
        return _rational_from_flag(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Fraction(value)
    raise BadValue


RATIONAL = Kind(
    'a fraction such as "1/3" or 0.25',
    _rational_from_file,
    _rational_from_flag,
    lambda value: f"{value.numerator}/{value.denominator}",
)


def _duration_from_flag(text: str) -> int:
    try:
        return durations.parse(text)
    except durations.DurationError as error:
        raise BadValue(str(error)) from None


def _duration_from_file(value: Any, as_reference: bool) -> int:
    if isinstance(value, str):
        return _duration_from_flag(value)
    number: int = INT64.from_file(value, as_reference)
    return number


DURATION = Kind(
    "a duration such as 90s, 5m or 1h30m (a bare number is nanoseconds)",
    _duration_from_file,
    _duration_from_flag,
    durations.text,
)


def _time(text: str) -> GenesisTime:
    try:
        return GenesisTime.parse(text)
    except GenesisError as error:
        raise BadValue(str(error)) from None


def _time_from_file(value: Any, as_reference: bool) -> GenesisTime:
    if not isinstance(value, str):
        raise BadValue
    return _time(value)


TIME = Kind("a time with its zone, such as 2023-07-14T08:00:00Z", _time_from_file, _time, str)

# Bytes


def _hex(size: int) -> Callable[[str], bytes]:
    def read(text: str) -> bytes:
        if not isinstance(text, str) or not re.fullmatch(f"[0-9a-fA-F]{{{2 * size}}}", text):
            raise BadValue
        return bytes.fromhex(text)

    return read


DIFFICULTY = Kind("64 hex digits", lambda value, as_reference: _hex(32)(value), _hex(32), bytes.hex)
HASH20 = Kind("40 hex digits", lambda value, as_reference: _hex(20)(value), _hex(20), bytes.hex)


def _key_from_file(value: Any, as_reference: bool) -> bytes:
    return _key(_text_from_file(value, as_reference))


def _key(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadValue from None


PUBLIC_KEY = Kind("a key in base64", _key_from_file, _key, lambda value: base64.b64encode(value).decode())

# The rest


def _provider_from_file(value: Any, as_reference: bool) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise BadValue
    number: int = UINT32.from_file(int(value), False)
    return number


def _provider_from_flag(text: str) -> int | None:
    return UINT32.from_flag(text) if text else None


PROVIDER = Kind(
    "the number of a device, without quotes",
    _provider_from_file,
    _provider_from_flag,
    lambda value: "" if value is None else str(value),
)

FLAGS = Kind(UINT32.expected, UINT32.from_file, UINT32.from_flag, str)
"""A number that the reference writes as a text."""


def _old_poet_server(*_: Any) -> None:
    raise ConfigError(
        "main.poet-server was replaced: write main.poet-servers, a list of objects with address and pubkey.",
        "deprecated_key",
    )


OLD_POET_SERVER = Kind("nothing", _old_poet_server, _old_poet_server, lambda value: {})


def _map_from_file(read: Callable[[Any, bool], Any]) -> Callable[[Any, bool], Any]:
    def from_file(value: Any, as_reference: bool) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise BadValue
        return MappingProxyType({key: read(item, as_reference) for key, item in value.items()})

    return from_file


def _balances_from_flag(text: str) -> Mapping[str, int]:
    balances = {}
    for pair in text.split(","):
        address, sign, amount = pair.partition("=")
        if not sign:
            raise BadValue
        balances[address] = UINT64.from_flag(amount)
    return MappingProxyType(balances)


BALANCES = Kind(
    "addresses with balances in smidge, such as sm1…=1000",
    _map_from_file(UINT64.from_file),
    _balances_from_flag,
    lambda value: {address: UINT64.to_file(amount) for address, amount in value.items()},
    appends=True,
)
HEADERS = Kind("names with texts", _map_from_file(_text_from_file), lambda text: NOTHING, dict)


def _versions_from_file(value: Any, as_reference: bool) -> Mapping[int, int]:
    if not isinstance(value, Mapping):
        raise BadValue
    versions = {
        UINT32.from_flag(str(epoch)): UINT64.from_file(version, as_reference) for epoch, version in value.items()
    }
    newest = 0
    for epoch, version in sorted(versions.items()):
        if version not in (1, 2):
            raise BadValue(f"version {version} of epoch {epoch} is unknown")
        if version < newest:
            raise BadValue(f"epoch {epoch} goes back to version {version}")
        newest = version
    return MappingProxyType(versions)


ATX_VERSIONS = Kind(
    'epochs with the ATX version that begins with them, 1 or 2 and never falling, such as {"2": 2}',
    _versions_from_file,
    lambda text: NOTHING,
    lambda value: {str(epoch): version for epoch, version in value.items()},
)


def _record_from_file(kind: type, value: Any, as_reference: bool) -> Any:
    from .reading import record  # a record is read like a section, key by key

    if not isinstance(value, Mapping):
        raise BadValue
    return record(kind, value, as_reference)


def to_document(value: Any) -> dict[str, Any]:
    """What a file holds for a section or record."""
    document = {}
    for item in fields(value):
        inner = getattr(value, item.name)
        key = item.metadata["key"]
        if item.metadata["by_name"]:
            key = f"({key})"
        document[key] = to_document(inner) if "section" in item.metadata else item.metadata["kind"].to_file(inner)
    return document


def optional(kind: type) -> Kind:
    """A record that may be absent."""
    assert is_dataclass(kind)
    return Kind(
        "an object",
        lambda value, as_reference: _record_from_file(kind, value, as_reference),
        lambda text: None,
        lambda value: None if value is None else to_document(value),
    )


def records(kind: type) -> Kind:
    """A list of records; one alone is a list of one."""

    def from_file(value: Any, as_reference: bool) -> tuple[Any, ...]:
        items = value if isinstance(value, list) else [value]
        return tuple(_record_from_file(kind, item, as_reference) for item in items)

    def from_flag(text: str) -> tuple[Any, ...]:
        try:
            return from_file(json.loads(text), False)
        except (ValueError, RecursionError):
            raise BadValue from None

    return Kind("a list of objects", from_file, from_flag, lambda value: [to_document(item) for item in value])


def record_map(kind: type) -> Kind:
    """Records by name."""
    return Kind(
        "names with objects",
        _map_from_file(lambda value, as_reference: _record_from_file(kind, value, as_reference)),
        lambda text: NOTHING,
        lambda value: {name: to_document(item) for name, item in value.items()},
    )
