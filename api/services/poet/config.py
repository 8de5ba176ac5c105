"""The configuration of a PoET server: command line, file and environment, checked before anything starts.

Defaults, then the command line to find the file, then the file, then the command line again. What the original
lets through and then panics on, or what can never work, is refused here, with the name of the setting; the exit code
is the original's. Specified in protocol 02-poet, sections 9.1 and 12.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_sign_seed_keypair

from api.config import errors, kinds
from api.config.files import from_lines
from api.config.settings import Flags, Given, values
from api.edge.errors import UsageError
from api.edge.listen import parse_port
from api.edge.text import nearest, read_text, shown
from api.edge.threads import refused_processors
from api.services.poet.options import APPLICATION, GROUPS, HELP, NETWORKS, SETTINGS, now_ns
from protocol.numbers import durations
from protocol.params.config import networks
from protocol.poet.registration import CERTIFIER_KEY_SIZE
from prover.errors import ProofError
from prover.poet.server.rounds import Schedule

KEY_VARIABLE = "POET_PRIVATE_KEY"
PRIVATE_KEY_SIZE = 64
LOCK_NAME = "smesher-poet.lock"
"""In datadir, held by the server, and by what works on its databases."""

_POW_DIFFICULTY = {"mainnet": 20, "fastnet": 4}
"""Leading zero bits that the servers of a network ask for, where they ask for any."""


def _preset(name: str) -> Mapping[str, Any]:
    """What follows from a network's own settings, and what its servers are started with."""
    network = networks.BY_NAME[name]
    found = {
        "epoch-duration": network.main.layer_duration_ns * network.main.layers_per_epoch,
        "phase-shift": network.poet.phase_shift_ns,
        "cycle-gap": network.poet.cycle_gap_ns,
    }
    if name == "mainnet":  # the others begin when somebody starts them anew
        found["genesis-time"] = network.genesis.time.unix_ns
    if name in _POW_DIFFICULTY:
        found["pow-difficulty"] = _POW_DIFFICULTY[name]
    return found


PRESETS: Mapping[str, Mapping[str, Any]] = {name: _preset(name) for name in NETWORKS}
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


def load(words: Sequence[str], environment: Mapping[str, str], tools: Iterable[str] = ()) -> Config:
    """The configuration from a command line (without the program) and the environment.

    tools: words that the command takes in the server's place, for who meant one of them. Raises ConfigError,
    HelpWanted, VersionWanted.
    """
    if any(word in ("--help", "-h") for word in _before_dashes(words)):
        raise HelpWanted
    try:
        given, others = Flags((*SETTINGS, HELP), strict=True).parse(words)
        if others:  # the original ignores them; a slip in the name of a tool would start a server
            raise errors.ConfigError(f"{shown(others[0])} is no option of the server.{nearest(others[0], tools)}")
        found = values(SETTINGS, given)
        if found["version"]:
            raise VersionWanted
        lines = [] if found["configfile"] is None else read_file(found["configfile"])
        network = values(SETTINGS, lines, given)["network"]
        preset = {one.path: one.default for one in SETTINGS} | dict(PRESETS[network] if network is not None else {})
        config = _config(values(SETTINGS, lines, given, before=preset), environment)
    except UsageError as error:
        raise ConfigError(str(error)) from None
    check(config)
    return config


def _before_dashes(words: Sequence[str]) -> Sequence[str]:
    return words[: words.index("--")] if "--" in words else words


def read_file(path: Path) -> list[Given]:
    """What a configuration file sets. Raises UsageError, EnvironmentFault."""
    text = read_text(path, "--configfile")
    given = from_lines(path, text, SETTINGS, GROUPS, APPLICATION)
    for one in given:
        if one.setting.path in ("version", "configfile"):
            raise errors.ConfigError(f"{one.where} is for the command line, not for the file.")
    return given


def default_poetdir(environment: Mapping[str, str]) -> Path:
    """`poet` in the user's cache directory, else in the current one."""
    cache = environment.get("XDG_CACHE_HOME") or (f"{environment['HOME']}/.cache" if environment.get("HOME") else "")
    return Path(cache or ".") / "poet"


def private_key_of(environment: Mapping[str, str]) -> bytes | None:
    """The server's key from the environment (64 bytes), which is never shown. Raises ConfigError."""
    text = environment.get(KEY_VARIABLE, "")
    if not text:
        return None
    expected = f"expected the base64 of {PRIVATE_KEY_SIZE} bytes (seed and public key)"
    try:
        key = kinds.base64_bytes(text)
    except errors.BadValue:
        raise ConfigError(f"{KEY_VARIABLE} is not base64, {expected}.") from None
    if len(key) != PRIVATE_KEY_SIZE:
        raise ConfigError(f"{KEY_VARIABLE} is the base64 of {len(key)} bytes, {expected}.")
    if crypto_sign_seed_keypair(key[:32])[0] != key[32:]:
        raise ConfigError(f"{KEY_VARIABLE}: its second half is not the public key of the first; {expected}.")
    return key


def _config(found: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    poetdir = _path(found["poetdir"], environment) or default_poetdir(environment)
    genesis = found["genesis-time"]
    return Config(
        poetdir=poetdir,
        datadir=_path(found["datadir"], environment) or poetdir / "data",
        dbdir=_path(found["dbdir"], environment) or poetdir / "db",
        logdir=_path(found["logdir"], environment) or poetdir / "logs",
        schedule=Schedule(
            now_ns() if genesis is None else genesis,
            found["epoch-duration"],
            found["phase-shift"],
            found["cycle-gap"],
        ),
        config_rpclisten=found["config-rpclisten"],
        rpclisten=found["rpclisten"],
        restlisten=found["restlisten"],
        metrics_port=found["metrics-port"],
        max_grpc_resp_size=found["max-grpc-resp-size"],
        disable_worker=found["disable-worker"],
        pow_difficulty=found["pow-difficulty"],
        max_round_members=found["max-round-members"],
        submit_flush_interval_ns=max(0, found["submit-flush-interval"]),
        certifier_url=found["certifier-url"],
        certifier_pubkey=found["certifier-pubkey"],
        trusted_keys=_path(found["trusted-pub-keys-dir-path"], environment),
        lps=found["lps"],
        debuglog=found["debuglog"],
        jsonlog=found["jsonlog"],
        private_key=private_key_of(environment),
        network=found["network"],
        keep_rounds=found["keep-rounds"],
        cpu=found["cpu"],
        realtime=found["realtime"],
        one_process=found["one-process"],
    )


def check(config: Config) -> None:
    """Refuses what cannot work, alone or together. Raises ConfigError that names the settings."""
    try:
        config.schedule.check()
    except ProofError as error:
        raise ConfigError(f"{error}.") from None
    key = config.certifier_pubkey
    if key is not None and len(key) != CERTIFIER_KEY_SIZE:
        raise ConfigError(f"certifier-pubkey has {len(key)} bytes, expected {CERTIFIER_KEY_SIZE}.")
    if config.certifier_url and key is None and config.trusted_keys is None:
        raise ConfigError(
            "certifier-url is set without certifier-pubkey: nodes would get certificates there, and none would be "
            "accepted here. Give the certifier's key too."
        )
    if config.max_round_members == 0:
        raise ConfigError("max-round-members is 0: nobody could register.")
    if config.disable_worker and (config.cpu is not None or config.realtime or config.one_process):
        raise ConfigError(
            "disable-worker leaves nothing to do for cpu, realtime and one-process; give one or the other."
        )
    schedule = config.schedule
    if schedule.duration_ns <= 0 and not config.disable_worker:
        raise ConfigError(
            f"cycle-gap is {durations.text(schedule.cycle_gap_ns)} and epoch-duration "
            f"{durations.text(schedule.epoch_duration_ns)}: every round would be over when it starts. Expected a "
            "shorter cycle-gap."
        )
    why = refused_processors([] if config.cpu is None else [config.cpu])
    if why:
        raise ConfigError(f"cpu: {why}.")
    _check_listeners(config)


def described(config: Config) -> Mapping[str, object]:
    """What a log says of a configuration: every setting that is not at its default; the key never."""
    schedule = config.schedule
    shown_apart = {
        "genesis-time": kinds.MOMENT.to_file(schedule.genesis_ns),
        "epoch-duration": durations.text(schedule.epoch_duration_ns),
        "phase-shift": durations.text(schedule.phase_shift_ns),
        "cycle-gap": durations.text(schedule.cycle_gap_ns),
        "trusted-pub-keys-dir-path": config.trusted_keys,
    }
    found: dict[str, object] = {}
    for setting in SETTINGS:
        value = shown_apart.get(setting.path, getattr(config, setting.attribute, None))
        if value is not None and value != setting.default:
            found[setting.path] = setting.kind.to_file(value) if setting.path not in shown_apart else value
    return found


def _check_listeners(config: Config) -> None:
    seen: dict[tuple[str, int], str] = {}
    for name in ("config-rpclisten", "rpclisten", "restlisten"):
        where = split_address(getattr(config, name.replace("-", "_")))
        if where[1] and where in seen:
            raise ConfigError(f"{seen[where]} and {name} are both {where[0]}:{where[1]}; every listener needs its own.")
        seen[where] = name
        if where[1] and where[1] == config.metrics_port:
            raise ConfigError(f"{name} and metrics-port are both port {where[1]}; every listener needs its own.")


def _path(path: Path | None, environment: Mapping[str, str]) -> Path | None:
    if path is None:
        return None
    text = str(path)
    if text.startswith("~"):
        text = environment.get("HOME", "~") + text[1:]
    return Path(re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda m: environment.get(m[1] or m[2], ""), text))


def split_address(address: str) -> tuple[str, int]:
    """Host and port of a listener; an empty address is any port on all interfaces. Raises ConfigError."""
    if not address:
        return "", 0
    host, colon, port = address.rpartition(":")
    number = parse_port(port)
    if not colon or (":" in host and not host.startswith("[")) or number is None:
        raise ConfigError(
            f"The address {shown(address)} cannot be listened on: expected a host and a port from 0 to 65535, such as "
            "localhost:8080 or [::1]:8080."
        )
    return host.strip("[]"), number


def user_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ
