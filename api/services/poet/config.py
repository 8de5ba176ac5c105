"""The configuration of a PoET server: command line, file and environment, as the reference reads them.

Defaults, then the command line to find the file, then the file, then the command line again. What the original
lets through and then panics on (durations without sense, keys of a wrong length) is refused here. Specified in
protocol 02-poet, sections 9.1 and 12.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.services.poet.options import (
    APPLICATION,
    BY_NAME,
    BY_SHORT,
    GROUPS,
    OPTIONS,
    Option,
    ValueRefused,
    now_ns,
    read_base64,
    read_time,
)
from protocol.poet.registration import CERTIFIER_KEY_SIZE
from prover.errors import ProofError
from prover.poet.server.rounds import Schedule

HOUR_NS = 3_600_000_000_000
KEY_VARIABLE = "POET_PRIVATE_KEY"
PRIVATE_KEY_SIZE = 64

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "mainnet": {
        "genesis-time": read_time("2023-07-14T08:00:00Z"),
        "epoch-duration": 336 * HOUR_NS,
        "phase-shift": 240 * HOUR_NS,
        "cycle-gap": 12 * HOUR_NS,
        "pow-difficulty": 20,
    },
    "testnet": {
        "epoch-duration": 24 * HOUR_NS,
        "phase-shift": 12 * HOUR_NS,
        "cycle-gap": 2 * HOUR_NS,
    },
    "fastnet": {
        "epoch-duration": HOUR_NS // 60,
        "phase-shift": HOUR_NS // 120,
        "cycle-gap": HOUR_NS // 120,
        "pow-difficulty": 4,
    },
    "standalone": {
        "epoch-duration": HOUR_NS // 60,
        "phase-shift": HOUR_NS // 120,
        "cycle-gap": HOUR_NS // 120,
    },
}
"""What `--network` sets below the file and the flags. Protocol 02-poet, section 6."""


class ConfigError(ProofError):
    """The configuration cannot be used. Exit code 1, as the original's."""

    exit_code = 1


class HelpWanted(Exception):
    """`--help` was given."""


class VersionWanted(Exception):
    """`--version` was given."""


@dataclass(frozen=True, slots=True)
class Config:
    """A server's configuration, complete and checked. Durations and times in nanoseconds."""

    poetdir: Path
    datadir: Path
    dbdir: Path
    logdir: Path
    schedule: Schedule
    config_rpclisten: str
    rpclisten: str
    restlisten: str
    metrics_port: int | None
    max_grpc_resp_size: int
    disable_worker: bool
    pow_difficulty: int
    max_round_members: int
    max_submit_batch_size: int
    submit_flush_interval_ns: int
    certifier_url: str | None
    certifier_pubkey: bytes | None
    trusted_keys: Path | None
    lps: int
    debuglog: bool = False
    jsonlog: bool = False
    private_key: bytes | None = None
    """From the environment."""
    network: str | None = None
    keep_rounds: int | None = None
    cpu: int | None = None
    realtime: bool = False
    one_process: bool = False

    @property
    def rounds_dir(self) -> Path:
        """Rounds in work."""
        return self.datadir / "rounds"


Values = dict[str, Any]
"""Option name to value; only what was set."""


def load(words: Sequence[str], environment: Mapping[str, str]) -> Config:
    """The configuration from a command line (without the program) and the environment.

    Raises ConfigError, HelpWanted, VersionWanted.
    """
    flags = parse_flags(words)
    if flags.get("version"):
        raise VersionWanted
    values = dict(flags)
    if flags.get("configfile"):
        values = {**read_file(Path(flags["configfile"])), **flags}
    network = values.get("network")
    if network is not None:
        if network not in PRESETS:
            raise ConfigError(f"--network is {network!r}, expected one of {', '.join(PRESETS)}.")
        values = {**PRESETS[network], **values}
    defaults = {option.name: option.default for option in OPTIONS}
    return _config({**defaults, **values}, environment)


def parse_flags(words: Sequence[str]) -> Values:
    """What a command line sets; the last of several wins, positional words are ignored. Raises ConfigError."""
    values: Values = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            continue
        if word.startswith("--"):
            name, has_value, value = word[2:].partition("=")
            option = BY_NAME.get(name)
        else:
            name, value = word[1:2], word[2:]
            has_value = "=" if value else ""
            value = value.removeprefix("=")
            option = BY_SHORT.get(name)
        if name in ("help", "h"):
            raise HelpWanted
        if option is None:
            raise ConfigError(f"unknown flag `{name}'")
        if option.is_flag:
            if has_value:
                raise ConfigError(f"bool flag `{option.shown}' cannot have an argument")
            values[option.name] = True
            continue
        if not has_value:
            value = _next_word(option, rest)
        try:
            values[option.name] = option.read(value)
        except ValueRefused as error:
            raise ConfigError(
                f"invalid argument for flag `{option.shown}' (expected {option.type_name}): {error}"
            ) from None
    return values


def _next_word(option: Option, rest: list[str]) -> str:
    if not rest:
        raise ConfigError(f"expected argument for flag `{option.shown}'")
    word = rest[0]
    looks_like_flag = word.startswith("-") and len(word) > 1
    if looks_like_flag and not (option.type_name == "int" and re.fullmatch(r"-\d+", word)):
        raise ConfigError(f"expected argument for flag `{option.shown}', but got option `{word}'")
    return rest.pop(0)


def read_file(path: Path) -> Values:
    """What a configuration file sets. Raises ConfigError with the reference's text."""
    failed = f"failed to read config from {path}: "
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{failed}open {path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{failed}{error}") from None
    values: Values = {}
    group: str | None = None
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line[0] in ";#":
            continue
        where = f"{failed}{path}:{number}: "
        if line.startswith("["):
            if not line.endswith("]"):
                raise ConfigError(f"{where}malformed section header")
            group = line[1:-1].strip()
            if group not in GROUPS:
                raise ConfigError(f"{failed}could not find option group `{group}'")
            continue
        name, separator, value = line.partition("=")
        if not separator:
            raise ConfigError(f"{where}malformed key=value ({line})")
        option = _option_in_file(name.strip(), group)
        if option is None:
            raise ConfigError(f"{where}unknown option: {name.strip()}")
        try:
            values[option.name] = option.read(_unquoted(value.strip()))
        except ValueRefused as error:
            raise ConfigError(f"{where}{error}") from None
        if option.name == "version":
            raise ConfigError(f"{where}version is a flag of the command line, not of the file")
    return values


def _option_in_file(name: str, group: str | None) -> Option | None:
    for option in OPTIONS:
        inside = group is None or option.group == group or group == APPLICATION
        if inside and name in (option.name, option.field):
            return option
    return None


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        if value[:1] == '"':
            raise ValueRefused("invalid syntax")
        return value
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), value[1:-1])


def default_poetdir(environment: Mapping[str, str]) -> Path:
    """`poet` in the user's cache directory, else in the current one."""
    cache = environment.get("XDG_CACHE_HOME") or (f"{environment['HOME']}/.cache" if environment.get("HOME") else "")
    return Path(cache or ".") / "poet"


def private_key_of(environment: Mapping[str, str]) -> bytes | None:
    """The server's key from the environment (64 bytes). Raises ConfigError."""
    text = environment.get(KEY_VARIABLE, "")
    if not text:
        return None
    failed = "failed to create server: loading state: "
    try:
        key = read_base64(text)
    except ValueRefused as error:
        raise ConfigError(f"{failed}decoding private key: {error}") from None
    if len(key) != PRIVATE_KEY_SIZE:
        raise ConfigError(f"{failed}invalid private key length: {len(key)}")
    return key


def _config(values: Values, environment: Mapping[str, str]) -> Config:
    poetdir = _path(values["poetdir"], environment) or default_poetdir(environment)
    genesis = values["genesis-time"]
    schedule = Schedule(
        now_ns() if genesis is None else genesis,
        values["epoch-duration"],
        values["phase-shift"],
        values["cycle-gap"],
    )
    try:
        schedule.check()
    except ProofError as error:
        raise ConfigError(str(error)) from None
    key = values["certifier-pubkey"]
    if key is not None and len(key) != CERTIFIER_KEY_SIZE:
        raise ConfigError(f"certifier-pubkey has {len(key)} bytes, expected {CERTIFIER_KEY_SIZE}")
    return Config(
        poetdir=poetdir,
        datadir=_path(values["datadir"], environment) or poetdir / "data",
        dbdir=_path(values["dbdir"], environment) or poetdir / "db",
        logdir=_path(values["logdir"], environment) or poetdir / "logs",
        schedule=schedule,
        config_rpclisten=values["config-rpclisten"],
        rpclisten=values["rpclisten"],
        restlisten=values["restlisten"],
        metrics_port=values["metrics-port"],
        max_grpc_resp_size=values["max-grpc-resp-size"],
        disable_worker=values["disable-worker"],
        pow_difficulty=values["pow-difficulty"],
        max_round_members=values["max-round-members"],
        max_submit_batch_size=max(1, values["max-submit-batch-size"]),
        submit_flush_interval_ns=max(0, values["submit-flush-interval"]),
        certifier_url=values["certifier-url"],
        certifier_pubkey=key,
        trusted_keys=_path(values["trusted-pub-keys-dir-path"], environment),
        lps=values["lps"],
        debuglog=values["debuglog"],
        jsonlog=values["jsonlog"],
        private_key=private_key_of(environment),
        network=values["network"],
        keep_rounds=values["keep-rounds"],
        cpu=values["cpu"],
        realtime=values["realtime"],
        one_process=values["one-process"],
    )


def _path(text: str | None, environment: Mapping[str, str]) -> Path | None:
    if not text:
        return None
    if text.startswith("~"):
        text = environment.get("HOME", "~") + text[1:]
    return Path(re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda m: environment.get(m[1] or m[2], ""), text))


def split_address(address: str) -> tuple[str, int]:
    """Host and port of a listener; an empty address is any port on all interfaces. Raises ConfigError."""
    if not address:
        return "", 0
    host, colon, port = address.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        raise ConfigError(f"failed to create server: address {address}: missing port in address")
    if not (port.isascii() and port.isdigit() and int(port) < 65_536):
        raise ConfigError(f"failed to create server: address {address}: invalid port {port!r}")
    return host.strip("[]"), int(port)


def user_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ
