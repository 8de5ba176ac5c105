"""How a node's configuration comes together: the main network is the base; a preset replaces it whole; the file
overrides setting by setting, then the environment, then the flags.

Whatever is wrong with a file is told at once, each setting by its name. Protocol 03b-config-and-genesis, section 3.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from api.edge.text import nearest, shown, why_no_json
from protocol.params.config import networks
from protocol.params.config.networks import MAINNET, PRESETS
from protocol.params.config.node import Config

from . import kinds, own
from .errors import ConfigError, together
from .files import parse_json
from .node import ENVIRONMENT_PREFIX, inner, normalised, settings_of, with_values
from .own import OwnSettings
from .settings import Flags, Given, Setting, from_document, from_environment, given_values, unknown_variables

FILE = "file"
"""How `Loaded.sources` calls the configuration file."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What a command line says."""

    given: tuple[Given, ...] = ()
    """In the order in which it was given."""
    config: str | None = None
    """The path of the configuration file."""
    positional: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and where it comes from."""

    config: Config
    own: OwnSettings
    base: Config
    """What it stands on: the main network or a preset."""
    sources: Mapping[str, str]
    """Path of every setting that was given to where: the flag, the variable, or `FILE`."""
    notes: tuple[str, ...] = ()
    """Sentences about variables that look like settings and are none."""


_CONFIG_FILE = Setting("", kinds.TEXT, flag="config", short="c")


def flags() -> tuple[Setting, ...]:
    """The settings of the network's nodes that a command line or the environment may give."""
    return tuple(setting for setting, _ in settings_of(Config) if setting.flag)


def parse_flags(words: Sequence[str]) -> CommandLine:
    """Take a command line apart: `--name=value`, `--name value`, `--switch`, `-d value`.

    Raises ConfigError (unknown_flag, bad_flag_value).
    """
    given, positional = Flags((*flags(), *own.SETTINGS, _CONFIG_FILE)).parse(words)
    files = [one.value for one in given if one.setting is _CONFIG_FILE]
    others = tuple(one for one in given if one.setting is not _CONFIG_FILE)
    return CommandLine(others, files[-1] if files else None, positional)


def load(
    text: str | None,
    line: CommandLine = CommandLine(),
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    form: Literal["json", "toml"] = "json",
) -> Config:
    """The configuration alone; see `read`."""
    return read(text, line, environment, form=form).config


def read(
    text: str | None,
    line: CommandLine = CommandLine(),
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    form: Literal["json", "toml"] = "json",
    processors: int | None = None,
) -> Loaded:
    """The configuration of a node.

    text: content of the configuration file, None where there is none; processors: of the machine whose threads the
    defaults are to fit. Raises ConfigError, which names every setting that cannot be used.
    """
    if text is None:
        raise ConfigError(
            "A configuration file is needed: --config FILE. A file that holds {} is enough for the main network.",
            "config_file_missing",
        )
    document = _document(text, form)
    table = settings_of(Config)
    known = [*(setting for setting, _ in table), *own.SETTINGS]
    outside = (from_environment((*flags(), *own.SETTINGS), environment), list(line.given))
    name = _preset_name(document, *outside)
    base = _preset(name) if name else MAINNET
    if processors is not None:
        base = networks.for_machine(base, processors)
    before = {setting.path: inner(base, attributes) for setting, attributes in table}
    found = {**before, **{one.path: one.default for one in own.SETTINGS}}
    problems: list[ConfigError] = []
    sources: dict[str, str] = {}
    for source in (from_document(known, document, any_case=True, problems=problems), *outside):
        found |= given_values(source, found, problems)
        sources |= {one.setting.path: _place(one) for one in source}
    if problems:
        raise together(problems)
    changed = {path: found[one.path] for one, path in table if found[one.path] != before[one.path]}
    config: Config = with_values(base, changed)
    return Loaded(
        replace(config, preset=name) if name else config,
        OwnSettings.of(found),
        base,
        sources,
        tuple(unknown_variables((*flags(), *own.SETTINGS), ENVIRONMENT_PREFIX, environment)),
    )


def _place(one: Given) -> str:
    if not one.is_text:
        return FILE
    return one.where.removeprefix("The environment variable ")


def _document(text: str, form: Literal["json", "toml"]) -> Mapping[str, Any]:
    try:
        document: Any = tomllib.loads(text) if form == "toml" else parse_json(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"The configuration file is no {form.upper()}: {why_no_json(error)}.", f"not_{form}"
        ) from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError("The configuration file is no object: expected { … } with sections.", "not_json")
    result: Mapping[str, Any] = normalised(document)
    return result


def _preset_name(document: Mapping[str, Any], *outside: Sequence[Given]) -> str:
    name = document.get("preset") or ""
    if not isinstance(name, str):
        raise ConfigError(f"preset is {shown(name)}, expected one of {', '.join(PRESETS)}.", "bad_value")
    for one in (given for source in outside for given in source):
        if one.setting.path == "preset":
            name = one.value
    return name


def _preset(name: str) -> Config:
    if name not in PRESETS:
        hint = " The main network needs none: leave it out." if name == "mainnet" else nearest(name.lower(), PRESETS)
        raise ConfigError(
            f"There is no preset {shown(name)}, expected one of {', '.join(PRESETS)}.{hint}", "unknown_preset"
        )
    return PRESETS[name]
