"""From a configuration file, the environment and flags to one configuration.

The main network is the base; a preset replaces it whole; the file overrides field by field, then the environment,
then the flags. Reading files is the caller's: here are texts only. Protocol 03b-config-and-genesis, sections 3 and 5.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, NoReturn

from .networks import MAINNET, PRESETS
from .node import Config
from .reading import normalised, overlay
from .values import BOOLEAN, OLD_POET_SERVER, BadValue, ConfigError, Kind

ENVIRONMENT_PREFIX = "SMESHER_"
"""An environment variable is this, then the flag's name in capitals with underscores: SMESHER_DATA_FOLDER."""

Path = tuple[str, ...]
"""Names of attributes from the configuration down to a setting."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One setting that can be given outside a file."""

    name: str
    short: str
    path: Path
    kind: Kind


@dataclass(frozen=True, slots=True)
class Given:
    """What a command line says."""

    values: tuple[tuple[Flag, str], ...] = ()
    """In the order in which they were given."""
    config: str | None = None
    """The path of the configuration file."""
    positional: tuple[str, ...] = ()


def _flags(section: Any, path: Path = ()) -> Iterator[Flag]:
    for item in fields(section):
        here = (*path, item.name)
        if "section" in item.metadata:
            yield from _flags(getattr(section, item.name), here)
        elif item.metadata["flag"]:
            yield Flag(item.metadata["flag"], item.metadata["short"], here, item.metadata["kind"])


FLAGS: Mapping[str, Flag] = MappingProxyType({flag.name: flag for flag in _flags(MAINNET)})
"""Every flag by its name."""

_OLD_FLAG = Flag("poet-server", "", ("main", "poet_server"), OLD_POET_SERVER)
_CONFIG_FLAG = Flag("config", "c", (), OLD_POET_SERVER)


def parse_flags(arguments: Sequence[str]) -> Given:
    """Take a command line apart: `--name=value`, `--name value`, `--switch`, `-d value`.

    Raises ConfigError (unknown_flag, bad_flag_value).
    """
    by_name = {**FLAGS, _OLD_FLAG.name: _OLD_FLAG, _CONFIG_FLAG.name: _CONFIG_FLAG}
    by_letter = {flag.short: flag for flag in by_name.values() if flag.short}
    values: list[tuple[Flag, str]] = []
    positional: list[str] = []
    config = None
    waiting = list(reversed(arguments))
    while waiting:
        argument = waiting.pop()
        if argument == "--":
            positional += reversed(waiting)
            break
        if not argument.startswith("-") or argument == "-":
            positional.append(argument)
            continue
        if argument.startswith("--"):
            name, sign, value = argument[2:].partition("=")
            flag = by_name.get(name)
        else:
            name, value = argument[1:2], argument[2:]
            sign, value = ("=", value.removeprefix("=")) if value else ("", "")
            flag = by_letter.get(name)
        if flag is None:
            near = difflib.get_close_matches(name, by_name, n=1)
            hint = f" Did you mean --{near[0]}?" if near else ""
            raise ConfigError(f"There is no flag {argument.partition('=')[0]}.{hint}", "unknown_flag")
        if not sign and flag.kind is BOOLEAN:
            value = "true"
        elif not sign:
            if not waiting:
                raise ConfigError(f"--{flag.name} needs a value: {flag.kind.expected}.", "bad_flag_value")
            value = waiting.pop()
        if flag is _CONFIG_FLAG:
            config = value
        else:
            values.append((flag, value))
    return Given(tuple(values), config, tuple(positional))


def from_environment(environment: Mapping[str, str]) -> tuple[tuple[Flag, str], ...]:
    """The settings among environment variables, those of other programs passed over."""
    found = []
    for name, value in sorted(environment.items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            flag = FLAGS.get(name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("_", "-"))
            if flag is not None:
                found.append((flag, value))
    return tuple(found)


def load(
    text: str | None,
    given: Given = Given(),
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    form: Literal["json", "toml"] = "json",
    as_reference: bool = False,
) -> Config:
    """The configuration of a node.

    text: content of the configuration file, None where there is none. Raises ConfigError, which names the setting.
    """
    if text is None:
        raise ConfigError(
            "A configuration file is needed: --config FILE. A file that holds {} is enough for the main network.",
            "config_file_missing",
        )
    document = _document(text, form)
    variables = from_environment(environment)
    flags = _merged(given.values)
    config = MAINNET
    if as_reference:  # flags are read twice there: lists of both readings add up, and accounts join the ledger
        for flag, value in flags:
            config = _replaced(config, flag.path, value, isinstance(value, Mapping))
    name = _preset_name(document, variables, given.values)
    if name:
        config = _preset(name)
    config = overlay(config, document, "", as_reference)
    config = _with_flags(config, _merged(variables), adding=False)
    config = _with_flags(config, flags, adding=as_reference)
    return replace(config, preset=name) if name else config


def _document(text: str, form: Literal["json", "toml"]) -> Mapping[str, Any]:
    def refuse(*_: Any) -> NoReturn:
        raise ValueError("a number that is none")

    try:
        if form == "toml":
            document: Any = tomllib.loads(text)
        else:
            document = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The configuration file is no {form.upper()}: {error}.", f"not_{form}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError("The configuration file is no object: expected { … } with sections.", "not_json")
    result: Mapping[str, Any] = normalised(document)
    return result


def _preset_name(
    document: Mapping[str, Any], variables: Sequence[tuple[Flag, str]], flags: Sequence[tuple[Flag, str]]
) -> str:
    name = document.get("preset") or ""
    if not isinstance(name, str):
        raise ConfigError(f"preset is {name!r}, expected one of {', '.join(PRESETS)}.", "bad_value")
    for flag, value in (*variables, *flags):
        if flag.path == ("preset",):
            name = value
    return name


def _preset(name: str) -> Config:
    if name not in PRESETS:
        hint = " The main network needs none: leave it out." if name == "mainnet" else ""
        near = difflib.get_close_matches(name.lower(), PRESETS, n=1)
        hint = hint or (f" Did you mean {near[0]}?" if near else "")
        raise ConfigError(
            f"There is no preset {name[:40]!r}, expected one of {', '.join(PRESETS)}.{hint}", "unknown_preset"
        )
    return PRESETS[name]


def _merged(given: Sequence[tuple[Flag, str]]) -> list[tuple[Flag, Any]]:
    """The values of flags; lists that were given several times become one. Raises ConfigError (bad_flag_value)."""
    values: dict[str, tuple[Flag, Any]] = {}
    for flag, text in given:
        try:
            value = flag.kind.from_flag(text)
        except BadValue as error:
            why = f": {error}" if str(error) else ""
            raise ConfigError(
                f"--{flag.name} is {text[:60]!r}, expected {flag.kind.expected}{why}.", "bad_flag_value"
            ) from None
        if flag.kind.appends and flag.name in values:
            value = _joined(values[flag.name][1], value)
        values[flag.name] = (flag, value)
    return list(values.values())


def _joined(first: Any, second: Any) -> Any:
    return MappingProxyType({**first, **second}) if isinstance(first, Mapping) else first + second


def _with_flags(config: Config, values: Sequence[tuple[Flag, Any]], *, adding: bool) -> Config:
    for flag, value in values:
        config = _replaced(config, flag.path, value, adding and flag.kind.appends)
    return config


def _replaced(section: Any, path: Path, value: Any, adding: bool) -> Any:
    current = getattr(section, path[0])
    if len(path) > 1:
        assert is_dataclass(current)
        return replace(section, **{path[0]: _replaced(current, path[1:], value, adding)})
    return replace(section, **{path[0]: _joined(current, value) if adding else value})


def started(config: Config) -> Config:
    """The configuration with the values that are computed at start. Raises ConfigError (bad_value).

    Refused are settings that contradict each other. Protocol 03b, sections 4.3, 4.7 and 5.
    """
    main, tortoise, hare = config.main, config.tortoise, config.hare3
    if hare.enable:
        longest = hare.preround_delay_ns + 7 * hare.iterations_limit * hare.round_duration_ns
        if longest > tortoise.zdist * main.layer_duration_ns:
            raise ConfigError(
                f"hare3 may take {longest} ns for its {hare.iterations_limit} iterations, but the tortoise waits "
                f"{tortoise.zdist} layers of {main.layer_duration_ns} ns (tortoise-zdist, layer-duration).",
                "bad_value",
            )
        if hare.disable_layer <= hare.enable_layer:
            raise ConfigError(
                f"hare3.disable-layer is {hare.disable_layer}, expected more than enable-layer ({hare.enable_layer}).",
                "bad_value",
            )
    if not (config.p2p.enable_tcp_transport or config.p2p.enable_quic_transport):
        raise ConfigError(
            "p2p has no transport: set enable-tcp-transport or enable-quic-transport to true.", "bad_value"
        )
    if not config.p2p.relay and (config.p2p.relay_server.enable or config.p2p.static_relays):
        raise ConfigError("p2p.relay is false, expected true where relay-server or static-relays is set.", "bad_value")
    if config.post.k2 == 0 or config.post.min_numunits > config.post.max_numunits:
        raise ConfigError("post-k2 must be above zero and post-min-numunits at most post-max-numunits.", "bad_value")
    committee = config.certificate.committee_size or hare.committee
    return replace(
        config,
        main=replace(main, miner_good_atxs_percent=main.miner_good_atxs_percent or 90),
        tortoise=replace(
            tortoise,
            layer_size=main.layer_average_size,
            delay_layers=tortoise.delay_layers or main.layers_per_epoch,
        ),
        certificate=replace(
            config.certificate,
            committee_size=committee,
            certify_threshold=committee // 2 + 1,
            layer_buffer=tortoise.zdist,
            num_layers_to_keep=2 * tortoise.zdist,
        ),
        syncer=replace(
            config.syncer,
            hare_delay_layers=tortoise.zdist,
            sync_cert_distance=tortoise.hdist,
            standalone=main.standalone,
        ),
        bootstrap=replace(config.bootstrap, data_dir=main.data_folder, interval_ns=main.layer_duration_ns // 5),
        vm=replace(config.vm, gas_limit=main.block_gas_limit, genesis_id=config.genesis.identity.genesis_id),
    )
