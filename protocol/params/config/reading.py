"""Laying a document over a configuration, key by key.

Keys are compared without case; a dotted key reaches into sections; `null` leaves a value alone. A key that nobody
knows is refused with the nearest one that exists. Protocol 03b-config-and-genesis, section 3 (keys, values).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from protocol.params.genesis import GenesisTime

from .values import BadValue, ConfigError

S = TypeVar("S")


def normalised(document: Any) -> Any:
    """The same document with keys in lower case and dotted keys spread out."""
    if isinstance(document, datetime):  # TOML has times of its own
        return document.isoformat()
    if isinstance(document, list):
        return [normalised(item) for item in document]
    if not isinstance(document, Mapping):
        return document
    result: dict[str, Any] = {}
    for key, value in document.items():
        place, *rest = str(key).lower().split(".")
        target = result
        for part in rest:
            inner = target.get(place)
            target[place] = inner = inner if isinstance(inner, dict) else {}
            target, place = inner, part
        target[place] = normalised(value)
    return result


def overlay(section: S, document: Mapping[str, Any], path: str, as_reference: bool = False) -> S:
    """The section with the values of a normalised document.

    path: where the section is, for messages. Raises ConfigError (unknown_key, bad_value, deprecated_key).
    """
    assert is_dataclass(section) and not isinstance(section, type)
    known = {item.metadata["key"].lower(): item for item in fields(section)}
    changed: dict[str, Any] = {}
    for key, value in document.items():
        here = f"{path}.{key}" if path else key
        if key not in known:
            if value is None and as_reference:
                continue
            raise ConfigError(f"{here} is no setting.{_nearest(key, known)}", "unknown_key")
        if value is not None:
            item = known[key]
            here = f"{path}.{item.metadata['key']}" if path else item.metadata["key"]
            changed[item.name] = _value(item, getattr(section, item.name), value, here, as_reference)
    return replace(section, **changed)


def _value(item: Field[Any], current: Any, value: Any, path: str, as_reference: bool) -> Any:
    is_part = is_dataclass(current) and not isinstance(current, GenesisTime)
    if is_part and isinstance(value, Mapping):
        return overlay(current, value, path, as_reference)
    if "section" in item.metadata:
        raise ConfigError(f"{path} is {_shown(value)}, expected a section with settings of its own.", "bad_value")
    if isinstance(current, Mapping) and value == {}:
        return current
    kind = item.metadata["kind"]
    try:
        return kind.from_file(value, as_reference)
    except BadValue as error:
        why = f": {error}" if str(error) else ""
        raise ConfigError(f"{path} is {_shown(value)}, expected {kind.expected}{why}.", "bad_value") from None
    except ConfigError as error:
        if error.reason == "unknown_key":  # in a record of a list: the path of the list is missing in front
            raise ConfigError(f"{path}: {error}", error.reason) from None
        raise


def record(kind: type[S], document: Mapping[str, Any], as_reference: bool) -> S:
    """A record of its own, the rest of it at zero. Raises ConfigError as overlay."""
    return overlay(kind(), document, "", as_reference)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(key: str, known: Mapping[str, Field[Any]]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f" Did you mean {known[near[0]].metadata['key']}?"
    names = [item.metadata["key"] for item in known.values()]
    return f" Known here: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}."
