"""The options of the PoET server, and how the reference reads their values from flags and files.

Names, defaults, groups and the texts of errors are those of the original (Go's flag package and number
parsers); the group "Smesher" holds what is ours. Specified in protocol 02-poet, section 9.1.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from protocol.numbers import durations
from protocol.numbers.time import Time


class ValueRefused(ValueError):
    """A value that its option does not take; the text is the reference's."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: a flag and a key of the configuration file."""

    name: str
    field: str
    """The original's name of the field; accepted in the file too."""
    group: str
    read: Callable[[str], Any]
    default: Any = None
    type_name: str = "string"
    short: str = ""
    help: str = ""

    @property
    def attribute(self) -> str:
        """The name of the value in a parsed configuration."""
        return self.name.replace("-", "_")

    @property
    def is_flag(self) -> bool:
        """Whether the command line takes no value for it."""
        return self.type_name == "bool"

    @property
    def shown(self) -> str:
        """How messages name the flag."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


def read_text(text: str) -> str:
    """Any text."""
    return text


def read_duration(text: str) -> int:
    """Nanoseconds from Go's form, "1h2m3.5s". Raises ValueRefused."""
    try:
        return durations.parse(text)
    except durations.DurationError as error:
        what = {
            "no_unit": "missing unit in duration",
            "unknown_unit": f"unknown unit {quoted(error.unit)} in duration",
        }.get(error.reason, "invalid duration")
        raise ValueRefused(f"time: {what} {quoted(text)}") from None


def unsigned(bits: int) -> Callable[[str], int]:
    """A reader of decimal unsigned integers."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()):
            raise ValueRefused(f"strconv.ParseUint: parsing {quoted(text)}: invalid syntax")
        if int(text) >= 1 << bits:
            raise ValueRefused(f"strconv.ParseUint: parsing {quoted(text)}: value out of range")
        return int(text)

    return read


def read_int(text: str) -> int:
    """A decimal signed 64-bit integer. Raises ValueRefused."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise ValueRefused(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax")
    value = int(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueRefused(f"strconv.ParseInt: parsing {quoted(text)}: value out of range")
    return value


TRUE = ("1", "t", "T", "TRUE", "true", "True")
FALSE = ("0", "f", "F", "FALSE", "false", "False")


def read_bool(text: str) -> bool:
    """A boolean as Go reads it; an empty value is true. Raises ValueRefused."""
    if text == "" or text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueRefused(f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax")


def read_time(text: str) -> int:
    """Unix nanoseconds from RFC 3339. Raises ValueRefused."""
    try:
        return Time.parse(text).unix_ns
    except (ValueError, IndexError):
        raise ValueRefused(_time_text(text)) from None


def _time_text(text: str) -> str:
    layout = "2006-01-02T15:04:05Z07:00"
    head = re.match(r"\d{4}-\d\d-\d\d", text)
    if head is None:
        return f'parsing time {quoted(text)} as "{layout}": cannot parse {quoted(text)} as "2006"'
    rest = text[head.end() :]
    if not rest.startswith("T"):
        return f'parsing time {quoted(text)} as "{layout}": cannot parse {quoted(rest)} as "T"'
    return f'parsing time {quoted(text)} as "{layout}": cannot parse {quoted(rest[1:])} as "15"'


def read_base64(text: str) -> bytes:
    """Bytes from standard base64; line breaks are skipped. Raises ValueRefused."""
    plain = text.replace("\n", "").replace("\r", "")
    try:
        return base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        at = next((i for i, c in enumerate(plain) if not (c.isascii() and (c.isalnum() or c in "+/="))), len(plain))
        raise ValueRefused(f"illegal base64 data at input byte {at}") from None


def quoted(text: str) -> str:
    """As Go quotes a text in its messages (the plain cases)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


APPLICATION, ROUND, REGISTRATION, SERVICE, OURS = (
    "Application Options",
    "Round",
    "Registration",
    "Service",
    "Smesher",
)
GROUPS = (APPLICATION, ROUND, REGISTRATION, SERVICE, OURS)

UINT = unsigned(64)


def _text(name: str, field: str, group: str, help: str, default: str | None = None, short: str = "") -> Option:
    return Option(name, field, group, read_text, default, "string", short, help)


def _duration(name: str, field: str, group: str, help: str, default_ns: int) -> Option:
    return Option(name, field, group, read_duration, default_ns, "time.Duration", "", help)


def _uint(name: str, field: str, group: str, help: str, default: int | None) -> Option:
    return Option(name, field, group, UINT, default, "uint", "", help)


def _bool(name: str, field: str, group: str, help: str) -> Option:
    return Option(name, field, group, read_bool, False, "bool", "", help)


OPTIONS = (
    Option("genesis-time", "Genesis", APPLICATION, read_time, None, "server.Genesis", "", "genesis, RFC 3339"),
    _text("poetdir", "PoetDir", APPLICATION, "where everything of this server lies"),
    _text("configfile", "ConfigFile", APPLICATION, "configuration file", None, "c"),
    _text("datadir", "DataDir", APPLICATION, "rounds in work and the server's key", None, "b"),
    _text("dbdir", "DbDir", APPLICATION, "databases of registrations and proofs"),
    _text("logdir", "LogDir", APPLICATION, "log files"),
    _bool("debuglog", "DebugLog", APPLICATION, "log more"),
    _bool("jsonlog", "JSONLog", APPLICATION, "log as JSON"),
    Option("maxlogfiles", "MaxLogFiles", APPLICATION, read_int, 3, "int", "", "accepted, unused"),
    Option("maxlogfilesize", "MaxLogFileSize", APPLICATION, read_int, 10, "int", "", "accepted, unused"),
    _text("config-rpclisten", "ConfigRPCListener", APPLICATION, "gRPC for the operator", "localhost:50001"),
    _text("rpclisten", "RawRPCListener", APPLICATION, "gRPC for clients", "localhost:50002", "r"),
    _text("restlisten", "RawRESTListener", APPLICATION, "HTTP for clients", "localhost:8080", "w"),
    Option(
        "metrics-port",
        "MetricsPort",
        APPLICATION,
        unsigned(16),
        None,
        "*uint16",
        "",
        "/metrics, all interfaces",
    ),
    _uint("max-grpc-resp-size", "MaxGrpcRespSize", APPLICATION, "largest answer over HTTP, bytes", 8_388_608),
    _text("cpuprofile", "CPUProfile", APPLICATION, "accepted, unused"),
    _text("profile", "Profile", APPLICATION, "accepted, unused"),
    _bool("disable-worker", "DisableWorker", APPLICATION, "register only; every round has an empty proof"),
    _bool("version", "DisplayVersion", APPLICATION, "print the version and exit"),
    _duration("epoch-duration", "EpochDuration", ROUND, "from one round's start to the next", 30 * 10**9),
    _duration("phase-shift", "PhaseShift", ROUND, "from genesis to the start of round 0", 15 * 10**9),
    _duration("cycle-gap", "CycleGap", ROUND, "between the end of a round and the next start", 10 * 10**9),
    _uint("pow-difficulty", "PowDifficulty", REGISTRATION, "leading zero bits of the proof of work", 0),
    _uint("max-round-members", "MaxRoundMembers", REGISTRATION, "registrations a round", 1 << 32),
    Option(
        "max-submit-batch-size",
        "MaxSubmitBatchSize",
        REGISTRATION,
        read_int,
        1000,
        "int",
        "",
        "registrations written at once",
    ),
    _duration("submit-flush-interval", "SubmitFlushInterval", REGISTRATION, "longest wait before a write", 10**8),
    _text("certifier-url", "URL", REGISTRATION, "where certificates are had"),
    Option(
        "certifier-pubkey",
        "PubKey",
        REGISTRATION,
        read_base64,
        None,
        "registration.Base64Enc",
        "",
        "the certifier's key, base64",
    ),
    _text("trusted-pub-keys-dir-path", "TrustedKeysDirPath", REGISTRATION, "folder of *.key files, base64"),
    _uint("lps", "EstimatedLeavesPerSecond", SERVICE, "leaves a second to plan with", 78_000),
    _uint("memory", "MemoryLayers", SERVICE, "accepted, unused", 26),
    _uint("tree-file-buffer", "TreeFileBufferSize", SERVICE, "accepted, unused", 4096),
    _text("network", "Network", OURS, "preset: mainnet, testnet, fastnet, standalone"),
    Option(
        "keep-rounds",
        "KeepRounds",
        OURS,
        unsigned(32),
        None,
        "uint",
        "",
        "proofs to keep, newest first (all)",
    ),
    Option("cpu", "Cpu", OURS, unsigned(16), None, "uint", "", "pin the hashing thread to this CPU"),
    _bool("realtime", "Realtime", OURS, "real-time priority for the hashing thread"),
    _bool("one-process", "OneProcess", OURS, "registration and worker in one process"),
)

BY_NAME = {option.name: option for option in OPTIONS}
BY_SHORT = {option.short: option for option in OPTIONS if option.short}


def now_ns() -> int:
    """The moment that stands in for an absent genesis, to the millisecond as the reference prints it."""
    return int(datetime.now(UTC).timestamp() * 1000) * 1_000_000
