"""What makes a network this network: its genesis time, extra data and first accounts.

The hash of time and extra data is the golden ATX, on which every chain of activations stands, and its first 20 bytes
are the genesis id, the prefix of every signature. Protocol 03b-config-and-genesis, section 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from protocol.crypto.hashing import hash32
from protocol.errors import ProtocolError
from protocol.numbers.time import Time

MAX_EXTRA_DATA = 255
"""Bytes of UTF-8."""
GENESIS_ID_SIZE = 20
FILE_NAME = "genesis.json"


class GenesisError(ProtocolError):
    """A genesis that no network can have, or not the one of this data. reason: time, extra_data, file, mismatch."""


def read_time(text: str) -> Time:
    """A genesis time as settings and the genesis file hold it. Raises GenesisError (time)."""
    try:
        return Time.parse(text, lax=True)
    except ValueError:
        raise GenesisError(
            f"{text[:60]!r} is no time: expected RFC 3339 with a zone, such as 2023-07-14T08:00:00Z.", "time"
        ) from None


@dataclass(frozen=True, slots=True)
class Genesis:
    """The identity of a network, and the coins it begins with."""

    time: Time
    """Its offset counts too: the text of the genesis file keeps it."""
    extra_data: str
    """Text, hashed as it is written."""
    accounts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Bech32 address to balance in smidge."""

    @property
    def golden_atx(self) -> bytes:
        """32 bytes: the ATX before all others. Only whole seconds enter."""
        return hash32(f"{self.time.seconds}{self.extra_data}".encode())

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
            return cls(read_time(document["GenesisTime"]), document["ExtraData"], dict(accounts))
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
