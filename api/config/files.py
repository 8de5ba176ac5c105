"""Files of settings as nested documents (YAML, JSON, TOML), or as lines `name = value` in groups.

Of YAML such files hold mappings inside each other and single values, which are texts until somebody asks for a number.
Lists, aliases and names that are there twice are refused with the number of the line, never guessed at.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from api.edge.text import nearest, read_text, shown

from .errors import ConfigError
from .settings import Given, PlainText, Setting

if TYPE_CHECKING:
    import yaml

Document = Mapping[str, Any]

_NULLS = ("", "~", "null", "Null", "NULL")


def read_document(path: Path, what: str = "The configuration") -> Document:
    """The document in a file, its format told by the extension. Raises ConfigError, UsageError, EnvironmentFault."""
    text = read_text(path, what)
    try:
        return parse(text, path.suffix.lower())
    except ValueError as error:
        raise ConfigError(
            f"{what} {path} cannot be read: {error}.", f"not_{path.suffix[1:].lower().replace('yml', 'yaml')}"
        ) from None


def parse(text: str, suffix: str) -> Document:
    """The document of a text; `suffix` (".yml") tells its format. Raises ValueError without a full stop."""
    readers: dict[str, Callable[[str], object]] = {
        ".yml": parse_yaml,
        ".yaml": parse_yaml,
        ".json": parse_json,
        ".toml": tomllib.loads,
    }
    if suffix not in readers:
        raise ValueError(f"the name ends with {shown(suffix)}, expected {', '.join(readers)}")
    try:
        document = readers[suffix](text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ValueError("expected an object at the top")
    return document


def parse_json(text: str) -> object:
    """JSON without the numbers that are none. Raises ValueError."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number")

    return json.loads(text, parse_constant=refuse)


def parse_yaml(text: str) -> dict[str, Any]:
    """The mapping in a YAML text. Raises ValueError with the number of the line."""
    import yaml

    try:
        document = yaml.load(text, _loader())
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{where}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ValueError("line 1: expected a name, a colon and a value")
    return document


@cache
def _loader() -> type[yaml.BaseLoader]:
    """A loader to which every value is a text, and that takes mappings and single values only."""
    import yaml

    class Loader(yaml.BaseLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
                raise yaml.MarkedYAMLError(None, None, "aliases are not used here", mark)
            return super().compose_node(parent, index)

        def construct_sequence(self, node: Any, deep: bool = False) -> Any:
            raise yaml.MarkedYAMLError(None, None, "a list stands where a single value is expected", node.start_mark)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.MarkedYAMLError(None, None, "a name is expected before the colon", key.start_mark)
                if key.value in seen:
                    raise yaml.MarkedYAMLError(None, None, f"{key.value} is there twice", key.start_mark)
                seen.add(key.value)
            return super().construct_mapping(node, deep)

        def construct_yaml_seq(self, node: Any) -> Any:
            return self.construct_sequence(node)

        def construct_scalar(self, node: Any) -> Any:
            is_null = node.style is None and node.value in _NULLS
            return None if is_null else PlainText(super().construct_scalar(node))

    return Loader


# Lines in groups


def from_lines(
    path: Path, text: str, settings: Iterable[Setting], groups: tuple[str, ...], general: str
) -> list[Given]:
    """What a file of lines `name = value` sets; `;` and `#` comment, `[Group]` begins a group.

    groups: those that exist; general: the one in which, as before any group, every name may stand.
    Raises ConfigError with the number of the line.
    """
    known = tuple(settings)
    given = []
    group = general
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        where = f"{path}, line {number}"
        if not line or line[0] in ";#":
            continue
        if line.startswith("["):
            group = line[1:-1].strip() if line.endswith("]") else ""
            if group not in groups:
                expected = ", ".join(f"[{one}]" for one in groups)
                raise ConfigError(
                    f"{where}: {shown(line)} begins no group, expected one of {expected}.{nearest(group, groups)}",
                    "unknown_key",
                )
            continue
        name, separator, value = (part.strip() for part in line.partition("="))
        if not separator:
            raise ConfigError(f"{where} is {shown(line)}, expected name = value.", "bad_value")
        here = [one for one in known if group in (one.group, general)]
        setting = next((one for one in here if name in (one.path, *one.aliases)), None)
        if setting is None:
            hint = nearest(name, [one.path for one in here])
            raise ConfigError(f"{where}: {shown(name)[1:-1]} is no setting of [{group}].{hint}", "unknown_key")
        try:
            given.append(Given(setting, _unquoted(value), f"{where}: {name}", True))
        except ValueError as error:
            raise ConfigError(f"{where}: {name}: {error}.", "bad_value") from None
    return given


def _unquoted(value: str) -> str:
    """A value without the quotes around it."""
    if value[:1] != '"':
        return value
    if len(value) < 2 or value[-1] != '"':
        raise ValueError("the quote is not closed")
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), value[1:-1])
