"""`smesher config`: what each setting of a node is for and which value it has, and whether a file of them can be "
"used."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from api.cli import common
from api.cli.node.run import MOST_BYTES, SECRETS, followed, form_of
from api.cli.output import Output
from api.cli.words import Word, add_words
from api.config.errors import ConfigError
from api.config.load import FILE, CommandLine, Loaded, flags, read
from api.config.meanings import meanings
from api.config.node import inner, settings_of
from api.config.own import SETTINGS as OWN
from api.config.settings import Given, Setting
from api.edge.errors import EXIT_DONE, EXIT_USAGE, UsageError
from api.edge.text import nearest, read_text, shown
from api.edge.threads import processors
from protocol.params.config import networks
from protocol.params.config.node import Config
from protocol.params.config.services import UNSET_TIME


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of the command."""
    add_words(parser, WORDS)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """The word's exit code."""
    return WORDS[arguments.word].run(arguments, output)


# -- explain -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Explained:
    """One setting, as it is told."""

    path: str
    meaning: str
    expected: str
    """What a person should write."""
    defaults: dict[str, Any]
    """By the name of a network."""
    flag: str
    variable: str
    value: Any
    """In force."""
    source: str
    """Where that comes from."""
    without: str
    """What the setting is for, where it has no effect here; empty where it has."""


def _explain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "key", nargs="*", metavar="KEY", help="a setting, the end of its path, its flag, or a section (default: all)"
    )
    parser.add_argument("-c", "--config", type=common.path, metavar="FILE", help="tell the values that this file gives")
    parser.add_argument(
        "-p",
        "--preset",
        choices=tuple(networks.PRESETS),
        help="tell the values of this preset (default: the main network)",
    )


def _explain(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0; 2 for a file that cannot be used or a setting that is none."""
    text = "{}" if arguments.config is None else read_text(arguments.config, "--config", MOST_BYTES)
    line, form = _preset_line(arguments.preset), form_of(str(arguments.config))
    loaded = read(text, line, os.environ, form=form, processors=processors())
    told = list(_all(loaded))
    for one in _chosen(told, arguments.key):
        output.event("setting", **asdict(one))
        _say(one, output)
    output.event("done")
    return EXIT_DONE


def _preset_line(preset: str | None) -> CommandLine:
    if preset is None:
        return CommandLine()
    setting = next(one for one in flags() if one.path == "preset")
    return CommandLine((Given(setting, preset, "--preset", True),))


def _all(loaded: Loaded) -> Iterator[Explained]:
    from api.node.without import part_of  # loads much; help needs none of it

    config, texts = followed(loaded), meanings()
    for setting, attributes in settings_of(Config):
        defaults = {name: setting.kind.to_file(inner(of, attributes)) for name, of in networks.BY_NAME.items()}
        value = setting.kind.to_file(inner(config, attributes))
        if setting.path in SECRETS and value:
            value = "(not shown)"
        yield _explained(setting, texts, defaults, value, loaded, part_of(setting.path) or "")
    for setting in OWN:
        value = getattr(loaded.own, setting.path.partition(".")[2].replace("-", "_"))
        default = setting.default_text or setting.default
        in_force = default if value is None else str(value)
        yield _explained(setting, texts, dict.fromkeys(networks.BY_NAME, default), in_force, loaded, "")


def _explained(
    setting: Setting, texts: Any, defaults: dict[str, Any], value: Any, loaded: Loaded, without: str
) -> Explained:
    base = f"preset {loaded.config.preset}" if loaded.config.preset else "main network"
    return Explained(
        setting.path,
        texts[setting.path],
        setting.kind.expected,
        defaults,
        setting.shown_flag if setting.flag else "",
        setting.variables[-1] if setting.variables else "",
        value,
        loaded.sources.get(setting.path, base),
        without,
    )


def _chosen(told: Sequence[Explained], keys: Sequence[str]) -> Iterator[Explained]:
    """Those that the words name, each once. Raises UsageError for a word that names none."""
    wanted = []
    for key in keys:
        found = [one for one in told if _is_named(one, key.lower().lstrip("-"))]
        if not found:
            names = {one.path for one in told} | {one.path.rpartition(".")[2] for one in told}
            raise UsageError(f"There is no setting {shown(key)}.{nearest(key, names)}")
        wanted += found
    yield from {one.path: one for one in wanted or told}.values()


def _is_named(one: Explained, word: str) -> bool:
    path = one.path.lower()
    flag = one.flag.rpartition("--")[2]
    return path == word or path.endswith(f".{word}") or path.startswith(f"{word}.") or (bool(flag) and flag == word)


def _say(one: Explained, output: Output) -> None:
    output.say(f"[bold]{one.path}[/]")
    output.say(f"  {one.meaning}")
    if one.without:
        output.say(f"  Has no effect here: this node does without {one.without}.")
    where = f"the {one.source}" if one.source in (FILE, "main network") else one.source
    output.say(f"  value     {_text(one.value)}   (from {where})")
    output.say(f"  default   {_defaults(one.defaults)}")
    output.say(f"  expected  {one.expected}")
    if one.flag:
        output.say(f"  given by  {one.flag}, or the environment variable {one.variable}")
    output.say("")


def _defaults(by_name: dict[str, Any]) -> str:
    texts = {name: _text(value) for name, value in by_name.items()}
    first = texts["mainnet"]
    others = ", ".join(f"{name} {text}" for name, text in texts.items() if text != first)
    return f"{first} ({others})" if others else first


def _text(value: Any) -> str:
    """A value as a file may hold it, cut where it is long."""
    if value in ("", None, [], {}, str(UNSET_TIME)):
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


LONGEST = 160
"""Characters of a value that people are shown; `--json` has it whole."""


# -- check ---------------------------------------------------------------------------------------------------------


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=common.path, metavar="FILE", help="a configuration file of a node, JSON or TOML")
    parser.add_argument("-p", "--preset", choices=tuple(networks.PRESETS), help="as --preset of the node")


def _check(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: a node takes it; 2: it does not."""
    problems, warnings = judged(arguments.file, arguments.preset)
    for text in problems:
        output.event("problem", message=text)
        output.say(f"[red]wrong[/]    {text}")
    for text in warnings:
        output.event("warning", message=text)
        output.say(f"[yellow]warning[/]  {text}")
    output.event("done", usable=not problems, problems=len(problems), warnings=len(warnings))
    if not problems:
        output.say(f"[bold green]ok[/]       a node takes {arguments.file}")
    return EXIT_USAGE if problems else EXIT_DONE


def judged(path: Path, preset: str | None = None) -> tuple[list[str], list[str]]:
    """All problems of a file, and all warnings. Raises UsageError, EnvironmentFault where it cannot be read at all."""
    from api.node import checks, genesis_file, without  # they load much; help needs none of it

    text = read_text(path, "The file", MOST_BYTES)
    try:
        loaded = read(text, _preset_line(preset), os.environ, form=form_of(str(path)), processors=processors())
    except ConfigError as error:
        return list(error.problems), []
    warnings = [*loaded.notes, *filter(None, [without.warning(loaded)])]
    try:
        config = genesis_file.timed(loaded.config, None, time.time_ns())
    except UsageError as error:
        return [str(error)], warnings
    if loaded.config.genesis.time.is_zero:
        warnings.append(
            "genesis.genesis-time is not set: a new network begins some seconds after its first start, and its time "
            "is kept in genesis.json."
        )
    return checks.problems(config) or checks.later_problems(config), warnings


WORDS = {
    "explain": Word(_explain_arguments, _explain, "tell what settings are for, and their values"),
    "check": Word(_check_arguments, _check, "tell everything that is wrong with a configuration file"),
}
