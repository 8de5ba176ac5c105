"""Vectors of configuration: presets, schema, flags, durations and what a file changes (types/config.json)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from protocol.numbers import durations
from protocol.params.config import networks
from protocol.params.config.loader import FLAGS, load, parse_flags
from protocol.params.config.node import Config
from protocol.params.config.values import ConfigError, to_document
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
    assert name in FLAGS, f"there is no flag {name}"
    assert FLAGS[name].short == (case["shorthand"] or ""), FLAGS[name].short
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
    try:
        config = load(text, parse_flags(case["flags"]), as_reference=True)
    except ConfigError as error:
        assert not case["ok"], f"refused: {error}"
        assert error.reason == case["error"], f"{error.reason}, expected {case['error']}"
        return
    assert case["ok"], "accepted"
    before, after = _leaves(_network(case["compared_to"])), _leaves(config)
    changed = {
        key: after.get(key, ABSENT)
        for key in before.keys() | after.keys()
        if before.get(key, ABSENT) != after.get(key, ABSENT)
    }
    expected = {key: value for key, value in _flat(case["changed"]).items() if key} if case["changed"] else {}
    # a list and a map are written whole in a record of the vectors: bring both to leaves
    expected = {key: None if value in ([], {}) else value for key, value in expected.items()}
    assert changed == expected, f"{changed}, expected {expected}"


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
