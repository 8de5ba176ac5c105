"""Small configuration files as nested mappings of texts: YAML, JSON or TOML, by the extension of the name.

Of YAML such files hold mappings inside each other and single values, which are texts until somebody asks for a number.
Lists, aliases and names that are there twice are refused with the number of the line, never guessed at.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prover.errors import UsageError

if TYPE_CHECKING:
    import yaml

Node = str | int | float | bool | None | Mapping[str, "Node"]
"""Values of YAML are texts, whatever they look like: who asks for a number says so."""

MAX_BYTES = 1 << 20
_NULLS = ("", "~", "null", "Null", "NULL")


def read(path: Path) -> dict[str, Node]:
    """The mapping in a file. Raises UsageError that says what is wrong and where."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"The configuration {path} cannot be read: {error.strerror}. Name one with --config."
        ) from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"The configuration {path} has {len(data)} bytes, expected at most {MAX_BYTES}.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"The configuration {path} is not UTF-8 (at byte {error.start}).") from None
    try:
        found = parse(text, path.suffix.lower())
    except ValueError as error:
        raise UsageError(f"The configuration {path} cannot be read: {error}.") from None
    return found


def parse(text: str, suffix: str) -> dict[str, Node]:
    """The mapping in a text; `suffix` (".yml") tells its format. Raises ValueError without a full stop."""
    readers: dict[str, Callable[[str], object]] = {
        ".yml": parse_yaml,
        ".yaml": parse_yaml,
        ".json": json.loads,
        ".toml": tomllib.loads,
    }
    if suffix not in readers:
        raise ValueError(f"the name ends with {suffix!r}, expected {', '.join(readers)}")
    try:
        document = readers[suffix](text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(document, dict):
        raise ValueError("expected an object at the top")
    return document


def parse_yaml(text: str) -> dict[str, Node]:
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
            return None if is_null else super().construct_scalar(node)

    return Loader
