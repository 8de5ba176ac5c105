"""One definition of a setting, and how every program takes its settings from flags, environment and a file.

A `Setting` says its path in a file, its kind and default, what it is for, and by which flag or variable it may come
besides. Each source gives `Given` values, which remember where they were found; `values` reads them, later sources
over earlier ones. Whatever is wrong is told by the path, flag or variable where it stands.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from api.edge.text import nearest, shown

from .errors import BadValue, ConfigError
from .kinds import Kind

ABSENT: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a program."""

    path: str
    """Its name in a file, with dots between sections."""
    kind: Kind
    default: Any = None
    help: str = ""
    flag: str = ""
    """Its name on the command line, without dashes; empty: it is none."""
    short: str = ""
    """Its letter there."""
    variables: tuple[str, ...] = ()
    """Its names in the environment, the one that counts most last."""
    group: str = ""
    """The heading under which help lists it; in files of groups its section."""
    aliases: tuple[str, ...] = ()
    """Other names that a file may use."""
    default_text: str = ""
    """What help says of the default where it is not plain."""
    secret: bool = False
    """Whether the value is shown nowhere."""

    @property
    def attribute(self) -> str:
        """The name of the value in Python."""
        return self.path.replace("-", "_").replace(".", "_")

    @property
    def shown_flag(self) -> str:
        """How messages and help name the flag."""
        return f"-{self.short}, --{self.flag}" if self.short else f"--{self.flag}"

    def meaning(self) -> str:
        """What help says of it: what it is for, and its default."""
        default = self.default_text
        if not default and not self.kind.switch and self.default not in (None, "", ()):
            default = str(self.kind.to_file(self.default))
        return f"{self.help} (default: {default})" if default else self.help


@dataclass(frozen=True, slots=True)
class Given:
    """A value as one source gave it."""

    setting: Setting
    value: Any = field(repr=False)
    """A text, or what a file's format has in its place."""
    where: str
    """How messages name the place."""
    is_text: bool
    """Whether it is a flag's, a variable's or a plain file's text."""

    def refusal(self, why: str = "") -> ConfigError:
        """The error for a value that its kind does not take."""
        found = "not what it should be" if self.setting.secret else shown(self.value)
        reason = "bad_flag_value" if self.where.startswith("-") else "bad_value"
        tail = f": {why.removesuffix('.')}" if why else ""
        return ConfigError(f"{self.where} is {found}, expected {self.setting.kind.expected}{tail}.", reason)

    def read(self, before: Any = None) -> Any:
        """The value; `before` is what the setting was so far. Raises ConfigError."""
        kind = self.setting.kind
        try:
            if self.is_text:
                return kind.from_text(self.value)
            if kind.over is not None and isinstance(self.value, Mapping) and before is not None:
                return kind.over(before, self.value)
            return kind.from_file(self.value)
        except BadValue as error:
            raise self.refusal(str(error)) from None
        except ConfigError as error:
            if error.reason != "unknown_key":
                raise
            raise ConfigError(f"{self.where}: {error}", error.reason) from None  # a key of a record inside


def values(
    settings: Iterable[Setting], *sources: Sequence[Given], before: Mapping[str, Any] = ABSENT
) -> dict[str, Any]:
    """Path to value: `before`, else the defaults, then each source over the one before. Raises ConfigError.

    What a flag of a kind that adds up gives several times becomes one value first.
    """
    found = {one.path: before.get(one.path, one.default) for one in settings}
    for source in sources:
        for path, value in given_values(source, found).items():
            found[path] = value
    return found


def given_values(
    source: Sequence[Given], before: Mapping[str, Any] = ABSENT, problems: list[ConfigError] | None = None
) -> dict[str, Any]:
    """What one source says: path to value, the last of several. Raises ConfigError, or adds it to `problems`."""
    found: dict[str, Any] = {}
    for one in source:
        path = one.setting.path
        try:
            value = one.read(before.get(path))
        except ConfigError as error:
            if problems is None:
                raise
            problems.append(error)
            continue
        if one.is_text and one.setting.kind.appends and path in found:
            first = found[path]
            value = MappingProxyType({**first, **value}) if isinstance(first, Mapping) else first + value
        found[path] = value
    return found


# Flags


@dataclass(frozen=True, slots=True)
class Flags:
    """The command line of a program, in one of two habits of Go's libraries.

    strict: a switch takes no value at all, and what looks like a flag is none's value; else `--switch=false` is taken.
    """

    settings: tuple[Setting, ...]
    strict: bool = False

    def parse(self, words: Sequence[str]) -> tuple[list[Given], tuple[str, ...]]:
        """What a command line sets, in its order, and the words that are no flags. Raises ConfigError."""
        given: list[Given] = []
        others: list[str] = []
        waiting = list(reversed(words))
        while waiting:
            word = waiting.pop()
            if word == "--":
                others += reversed(waiting)
                break
            if not word.startswith("-") or word == "-":
                others.append(word)
                continue
            setting, value = self._split(word)
            if setting.kind.switch and (value is None or self.strict):
                if value is not None:
                    raise ConfigError(f"--{setting.flag} is a switch and takes no value.", "bad_flag_value")
                value = "true"
            given.append(Given(setting, self._next(setting, waiting) if value is None else value, _name(word), True))
        return given, tuple(others)

    def _split(self, word: str) -> tuple[Setting, str | None]:
        """The setting of a flag, and the value that stands in the same word."""
        if word.startswith("--"):
            name, sign, text = word[2:].partition("=")
            found = next((one for one in self.settings if one.flag == name), None)
        else:
            name, text = word[1:2], word[2:]
            sign, text = ("=", text.removeprefix("=")) if text else ("", "")
            found = next((one for one in self.settings if one.short == name), None)
        if found is None:
            raise ConfigError(
                f"There is no flag {shown(word.partition('=')[0])[1:-1]}."
                f"{nearest(name, [one.flag for one in self.settings if one.flag], prefix='--')}",
                "unknown_flag",
            )
        return found, text if sign else None

    def _next(self, setting: Setting, waiting: list[str]) -> str:
        """The value in the word after a flag."""
        word = waiting[-1] if waiting else None
        looks_like_flag = word is not None and len(word) > 1 and word[0] == "-" and not word[1:].isdigit()
        if word is None or (self.strict and looks_like_flag):
            found = "" if word is None else f", but {shown(word)} follows"
            raise ConfigError(f"--{setting.flag} needs a value: {setting.kind.expected}{found}.", "bad_flag_value")
        return waiting.pop()


def _name(word: str) -> str:
    return word.partition("=")[0] if word.startswith("--") else word[:2]


# Environment


def from_environment(
    settings: Iterable[Setting], environment: Mapping[str, str], *, empty_counts: bool = True
) -> list[Given]:
    """The settings among environment variables. Those of other programs are passed over."""
    found = []
    for one in settings:
        for name in one.variables:
            if name in environment and (environment[name] or empty_counts):
                found.append(Given(one, environment[name], f"The environment variable {name}", True))
    return found


def unknown_variables(settings: Iterable[Setting], prefix: str, environment: Mapping[str, str]) -> list[str]:
    """Sentences about variables that look like settings of this program and are none.

    They are told and not refused: what starts a program (a container's runtime) adds variables of its own.
    """
    known = {name for one in settings for name in one.variables}
    notes = []
    for name in sorted(environment):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.85) if name.startswith(prefix) else []
        if name not in known and near:
            notes.append(f"The environment variable {name} is no setting and has no effect. Did you mean {near[0]}?")
    return notes


# Documents


def from_document(
    settings: Iterable[Setting],
    document: Mapping[str, Any],
    *,
    where: str = "",
    any_case: bool = False,
    problems: list[ConfigError] | None = None,
) -> list[Given]:
    """The settings of a document of nested sections: JSON, TOML or YAML. `null` leaves a setting alone.

    where: what stands before the path in messages; any_case: keys are compared without case. Raises ConfigError
    (unknown_key with the nearest key that exists; bad_value for a section that is none), or adds it to `problems`.
    """
    fold = str.lower if any_case else str
    known = {fold(name): one for one in settings for name in (one.path, *one.aliases)}
    names = {name: one.path for name, one in known.items()}
    sections = {fold(path[:at]) for path in known for at, sign in enumerate(path) if sign == "."}
    found: list[Given] = []

    def walk(part: Mapping[str, Any], prefix: str) -> None:
        for key, value in part.items():
            path = f"{prefix}{fold(str(key))}"
            if path in known:
                if value is not None:
                    found.append(Given(known[path], value, f"{where}{names[path]}", isinstance(value, PlainText)))
            elif path not in sections:
                wrong(ConfigError(f"{where}{prefix}{key} is no setting.{_known_here(path, prefix)}", "unknown_key"))
            elif isinstance(value, Mapping):
                walk(value, f"{path}.")
            elif value is not None:
                wrong(
                    ConfigError(
                        f"{where}{path} is {shown(value)}, expected a section with settings of its own.", "bad_value"
                    )
                )

    def wrong(error: ConfigError) -> None:
        if problems is None:
            raise error
        problems.append(error)

    def _known_here(path: str, prefix: str) -> str:
        here = {
            name[len(prefix) :].partition(".")[0]: names[name][len(prefix) :].partition(".")[0]
            for name in known
            if name.startswith(prefix)
        }
        near = difflib.get_close_matches(path[len(prefix) :], here, n=1)
        if near:
            return f" Did you mean {here[near[0]]}?"
        listed = list(dict.fromkeys(here.values()))
        return f" Known here: {', '.join(listed[:12])}{', …' if len(listed) > 12 else ''}."

    walk(document, "")
    return found


class PlainText(str):
    """A value of a format in which every value is a text, until somebody asks for a number."""

    __slots__ = ()
