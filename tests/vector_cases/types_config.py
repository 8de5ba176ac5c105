"""Vectors of configuration: presets, schema, flags, durations and what a file changes (types/config.json)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from api.config.errors import ConfigError
from api.config.load import flags, load, parse_flags
from api.config.node import settings_of, to_document
from protocol.numbers import durations
from protocol.params.config import networks
from protocol.params.config.node import Config
from tests.vector_cases.harness import Case, Context, NotUnderstood, vectors

_LISTS = ("presets", "schema", "flags", "durations", "load")
_TITLES = ("description", "reference")
ABSENT = "<absent>"
ABSENT_FILES = ("<none>", "<missing>")


def _flat(document: Any, path: str = "") -> dict[str, Any]:
    """Leaves by path; an empty list or map is the same as none, as it is to every reader of the configuration."""
    if isinstance(document, dict) and document:
        leaves: dict[str, Any] = {}
        for key, value in document.items():
            leaves.update(_flat(value, f"{path}.{key}" if path else key))
        return leaves
    return {path: None if document in ([], {}, None) else document}


def _leaves(config: Config) -> dict[str, Any]:
    document = to_document(config)
    # the recorded text of the genesis id is that of Go's array
    document["vm"]["(GenesisID)"] = f"[{' '.join(str(byte) for byte in config.vm.genesis_id)}]"
    return _flat(document)


def _network(name: str) -> Config:
    if name not in ("mainnet", "default", "testnet", "fastnet", "standalone"):
        raise NotUnderstood(f"a network named {name}")
    config: Config = getattr(networks, name.upper())
    return config


def _check_preset(case: dict[str, Any]) -> None:
    found, expected = _leaves(_network(case["name"])), _flat(case["config"])
    wrong = {key for key in found.keys() | expected.keys() if found.get(key, ABSENT) != expected.get(key, ABSENT)}
    assert not wrong, {key: (found.get(key, ABSENT), expected.get(key, ABSENT)) for key in sorted(wrong)}


def _check_schema(case: dict[str, Any], known: set[str]) -> None:
    parts = case["path"].split(".")
    if not case["has_explicit_key"]:
        # only the last name lacks a key of its own, or it is below a section or record that does
        candidates = {
            ".".join([*parts[:-1], f"({parts[-1]})"]),
            ".".join(f"({part})" for part in parts),
        }
    else:
        candidates = {case["path"]}
    found = any(path == name or path.startswith(f"{name}.") for path in known for name in candidates)
    assert found, f"there is no setting {case['path']}"


def _check_flag(case: dict[str, Any]) -> None:
    name = case["name"]
    if case.get("sets") is None:
        return _check_other_flag(case)
    found = next((one for one in flags() if one.flag == name), None)
    assert found is not None, f"there is no flag {name}"
    assert found.short == (case["shorthand"] or ""), found.short
    if name == "preset":  # the probe names no preset; the load cases show the flag at work
        return None
    before = _leaves(networks.MAINNET)
    after = _leaves(load("{}", parse_flags([f"--{name}={case['probe']}"])))
    path = _shown_path(case["sets"][0], after)
    assert after[path] == case["result"], f"{path} is {after[path]}, expected {case['result']}"
    changed = {key for key in before.keys() & after.keys() if before[key] != after[key]}
    assert changed <= {path}, f"{changed} changed too"
    return None


def _check_other_flag(case: dict[str, Any]) -> None:
    if case["name"] == "config":
        assert parse_flags([f"-{case['shorthand']}", "file"]).config == "file"
        return
    try:
        load("{}", parse_flags([f"--{case['name']}=x"]))
    except ConfigError as error:
        assert error.reason == "deprecated_key", error.reason
    else:
        raise AssertionError(f"--{case['name']} is accepted")


def _shown_path(path: str, leaves: dict[str, Any]) -> str:
    assert path in leaves, f"{path} is no setting"
    return path


def _check_duration(case: dict[str, Any]) -> None:
    try:
        nanoseconds = durations.parse(case["text"])
    except durations.DurationError:
        assert not case["ok"], "refused"
        return
    assert case["ok"], f"accepted as {nanoseconds}"
    assert str(nanoseconds) == case["ns"], f"{nanoseconds}, expected {case['ns']}"
    assert durations.text(nanoseconds) == case["canonical"], durations.text(nanoseconds)


def _check_load(case: dict[str, Any]) -> None:
    text = None if case["file"] in ABSENT_FILES else case["file"]
    loses = case["ok"] and text is not None and _loses(text)
    try:
        config = load(text, parse_flags(case["flags"]))
    except ConfigError as error:
        assert loses or not case["ok"], f"refused: {error}"
        assert loses or error.reason == case["error"], f"{error.reason}, expected {case['error']}"
        return
    assert case["ok"] and not loses, "accepted"
    before, after = _leaves(_network(case["compared_to"])), _leaves(config)
    changed = {
        key: after.get(key, ABSENT)
        for key in before.keys() | after.keys()
        if before.get(key, ABSENT) != after.get(key, ABSENT)
    }
    expected = {key: value for key, value in _flat(case["changed"]).items() if key} if case["changed"] else {}
    # a list and a map are written whole in a record of the vectors: bring both to leaves
    expected = {key: None if value in ([], {}) else value for key, value in expected.items()}
    expected.update(_exact(text or "{}"))
    replaced = _by_flags(case["flags"])
    for path, value in replaced.items():
        expected = {key: old for key, old in expected.items() if key != path and not key.startswith(f"{path}.")}
        leaves = _flat({path: value})
        gone = {key: ABSENT for key in before if key.startswith(f"{path}.") and key not in leaves}
        expected |= gone | {key: new for key, new in leaves.items() if before.get(key, ABSENT) != new}
    assert changed == expected, f"{changed}, expected {expected}"


# Where ours differs on purpose: what the reference loses silently is refused, big numbers are exact, and the lists of
# flags are taken once, in place of what was there (protocol 03b, section 3).


def _leaf_pairs(text: str) -> Iterator[tuple[str, Any]]:
    """Paths and values of a file, as far as it is nested objects."""

    def walk(part: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(part, dict) and part:
            for key, value in part.items():
                yield from walk(value, f"{path}.{key}" if path else key)
        else:
            yield path, part

    yield from walk(json.loads(text), "")


def _setting(path: str) -> Any:
    return next((item for item, _ in settings_of(Config) if item.path.lower() == path.lower()), None)


def _is_section(path: str) -> bool:
    return any(item.path.lower().startswith(f"{path.lower()}.") for item, _ in settings_of(Config))


def _loses(text: str) -> bool:
    """Whether the reference drops something of what a file says: signs, fractions, high bits, words for numbers."""
    for path, value in _leaf_pairs(text):
        found = _setting(path)
        if found is None:
            if value is None and path and not _is_section(path):
                return True  # an unknown key, hidden by null
            continue
        default = found.default
        if isinstance(default, bool):
            if value == "" or (isinstance(value, (int, float)) and value not in (0, 1)):
                return True
        elif isinstance(default, int):
            whole = isinstance(value, int) and not isinstance(value, bool)
            is_text = isinstance(value, str)
            if value is not None and not whole and not is_text and value != int(value):
                return True
            if isinstance(value, bool) or value == "" or (is_text and re.fullmatch("0[0-9]+", value)):
                return True
            if whole and not _in_range(found.kind.expected, value):
                return True
        elif isinstance(default, str) and isinstance(value, bool):
            return True
    return False


def _in_range(expected: str, value: int) -> bool:
    bounds = re.search(r"from (-?[0-9]+) to ([0-9]+)", expected)
    return bounds is None or int(bounds[1]) <= value <= int(bounds[2])


def _exact(text: str) -> dict[str, Any]:
    """Numbers of a file that a double cannot hold, by path, as the vectors write them."""
    big = {}
    for path, value in _leaf_pairs(text) if text.lstrip().startswith("{") and _is_json(text) else ():
        if isinstance(value, int) and abs(value) > 1 << 53:
            big[path] = str(value)
    return big


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _by_flags(words: list[str]) -> dict[str, Any]:
    """What flags that hold lists or balances set, each once."""
    found: dict[str, Any] = {}
    for one in parse_flags(words).given:
        if one.setting.kind.appends:
            value = one.setting.kind.to_file(one.read())
            before = found.get(one.setting.path)
            found[one.setting.path] = (
                value if before is None else before | value if isinstance(value, dict) else before + value
            )
    return found


@vectors("types/config.json", variants=False)
def configuration(document: Any, context: Context) -> Iterator[Case]:
    for name in document:
        if name not in _LISTS and name not in _TITLES:
            raise NotUnderstood(f"a list named {name}")
    for case in document.get("presets", ()):
        yield Case(f"presets/{case['name']}", lambda case=case: _check_preset(case))
    known = set(_leaves(networks.MAINNET)) | set(_leaves(networks.DEFAULT))
    for case in document.get("schema", ()):
        yield Case(f"schema/{case['path']}", lambda case=case: _check_schema(case, known))
    for case in document.get("flags", ()):
        yield Case(f"flags/{case['name']}", lambda case=case: _check_flag(case))
    for case in document.get("durations", ()):
        yield Case(f"durations/{case['text']!r}", lambda case=case: _check_duration(case))
    for case in document.get("load", ()):
        yield Case(f"load/{case['name']}", lambda case=case: _check_load(case))
