"""What makes a network this network: its genesis time, extra data and first accounts.

The hash of time and extra data is the golden ATX, on which every chain of activations stands, and its first 20 bytes
are the genesis id, the prefix of every signature. Protocol 03b-config-and-genesis, section 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from protocol.crypto.hashing import hash32
from protocol.errors import ProtocolError

MAX_EXTRA_DATA = 255
"""Bytes of UTF-8."""
GENESIS_ID_SIZE = 20
FILE_NAME = "genesis.json"

_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class GenesisError(ProtocolError):
    """A genesis that no network can have, or not the one of this data. reason: time, extra_data, file, mismatch."""


@dataclass(frozen=True, slots=True)
class GenesisTime:
    """A moment with its nanoseconds and the zone in which it was written down."""

    unix: int
    """Whole seconds since 1970, may be negative."""
    nanoseconds: int = 0
    """0 to 999,999,999."""
    offset_minutes: int = 0
    """East of Greenwich; kept because the text of the genesis file keeps it."""

    @property
    def unix_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self.unix * 1_000_000_000 + self.nanoseconds

    def __str__(self) -> str:
        """RFC 3339 with as many digits of the fraction as needed."""
        moment = _UNIX_EPOCH + timedelta(seconds=self.unix + 60 * self.offset_minutes)
        fraction = f".{self.nanoseconds:09d}".rstrip("0").rstrip(".")
        # year and zone by hand: strftime does not pad years before 1000
        zone = "Z"
        if self.offset_minutes:
            hours, minutes = divmod(abs(self.offset_minutes), 60)
            zone = f"{'-' if self.offset_minutes < 0 else '+'}{hours:02d}:{minutes:02d}"
        return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}{fraction}{zone}"

    @classmethod
    def parse(cls, text: str) -> GenesisTime:
        """Read RFC 3339 with a zone, such as 2023-07-14T08:00:00Z. Raises GenesisError (time)."""
        match = _RFC3339.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
            offset = 0
            if match[8] != "Z":
                hours, minutes = int(match[8][1:3]), int(match[8][4:6])
                if hours > 24 or minutes > 59:
                    raise ValueError
                offset = (hours * 60 + minutes) * (-1 if match[8][0] == "-" else 1)
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except (ValueError, OverflowError):
            raise GenesisError(
                f"{text[:60]!r} is no time: expected RFC 3339 with a zone, such as 2023-07-14T08:00:00Z.", "time"
            ) from None
        unix = (moment - _UNIX_EPOCH) // timedelta(seconds=1) - 60 * offset
        return cls(unix, int((match[7] or "0")[:9].ljust(9, "0")), offset)


@dataclass(frozen=True, slots=True)
class Genesis:
    """The identity of a network, and the coins it begins with."""

    time: GenesisTime
    extra_data: str
    """Text, hashed as it is written."""
    accounts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Bech32 address to balance in smidge."""

    @property
    def golden_atx(self) -> bytes:
        """32 bytes: the ATX before all others. Only whole seconds enter."""
        return hash32(f"{self.time.unix}{self.extra_data}".encode())

    @property
    def genesis_id(self) -> bytes:
        """20 bytes: the prefix of every signed message."""
        return self.golden_atx[:GENESIS_ID_SIZE]

    def prologue(self, effective_genesis: int) -> str:
        """The text that two hosts must share to connect; also the cookie on every network but the main one."""
        return f"{self.genesis_id.hex()}-{effective_genesis}"

    def check(self) -> None:
        """Whether a network can begin so. Raises GenesisError (extra_data)."""
        size = len(self.extra_data.encode())
        if not 1 <= size <= MAX_EXTRA_DATA:
            raise GenesisError(
                f"genesis-extra-data has {size} bytes, expected 1 to {MAX_EXTRA_DATA}: wait until the network "
                "publishes it, then set it in the configuration file.",
                "extra_data",
            )

    def file_content(self) -> str:
        """The text of genesis.json in the data folder."""
        document = {
            "GenesisTime": str(self.time),
            "ExtraData": self.extra_data,
            "Accounts": dict(sorted(self.accounts.items())),
        }
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        for character in "<>&\u2028\u2029":
            text = text.replace(character, f"\\u{ord(character):04x}")
        return text + "\n"

    @classmethod
    def from_file_content(cls, text: str) -> Genesis:
        """Read genesis.json. Raises GenesisError (file, time)."""
        try:
            document = json.loads(text)
            accounts = document["Accounts"] or {}
            if not isinstance(document["ExtraData"], str) or not isinstance(document["GenesisTime"], str):
                raise TypeError
            if not all(type(balance) is int and 0 <= balance < 1 << 64 for balance in accounts.values()):
                raise TypeError
            return cls(GenesisTime.parse(document["GenesisTime"]), document["ExtraData"], dict(accounts))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise GenesisError(
                f"{FILE_NAME} is damaged: expected an object with GenesisTime, ExtraData and Accounts. If this data "
                "folder belongs to the configured network, delete the file; it is written again.",
                "file",
            ) from None

    def check_same(self, configured: Genesis) -> None:
        """Whether data of this genesis may be used under a configuration. Raises GenesisError (mismatch)."""
        for name, ours, theirs in (
            ("genesis-time", str(self.time), str(configured.time)),
            ("genesis-extra-data", self.extra_data, configured.extra_data),
            ("accounts", dict(self.accounts), dict(configured.accounts)),
        ):
            if ours != theirs:
                found = "" if name == "accounts" else f": {ours!r} in the data folder, {theirs!r} configured"
                raise GenesisError(
                    f"The data folder belongs to another network: {name} differs{found}. Use another data-folder, "
                    "or the configuration of that network.",
                    "mismatch",
                )
