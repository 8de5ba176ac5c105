"""Where a node's settings come from, what is told of a file that is wrong, and that every setting has a meaning."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.config import own
from api.config.errors import ConfigError
from api.config.load import FILE, parse_flags, read
from api.config.meanings import meanings
from api.config.node import settings_of
from api.config.own import OwnSettings
from protocol.params.config import networks
from protocol.params.config.node import Config


def test_the_source_of_every_value_is_known() -> None:
    text = '{"preset": "fastnet", "main": {"tick-size": 5, "metrics": true, "layer-duration": null}}'
    loaded = read(text, parse_flags(["--metrics-port=5", "-d", "x"]), {"SMESHER_METRICS": "false"})
    assert loaded.sources == {
        "preset": FILE,
        "main.tick-size": FILE,
        "main.metrics": "SMESHER_METRICS",
        "main.metrics-port": "--metrics-port",
        "main.data-folder": "-d",
    }
    assert loaded.base is networks.FASTNET and not loaded.config.main.metrics


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = '{"main": {"tick-sise": 1, "tick-size": -1}, "nosuch": {}, "p2p": 5, "hare3": {"committee": 65536}}'
    with pytest.raises(ConfigError) as caught:
        read(text, parse_flags(["--metrics-port=x"]), {"SMESHER_LAYERS_PER_EPOCH": "many"})
    error = caught.value
    assert error.reason == "unknown_key" and len(error.problems) == 7
    for words in (
        "main.tick-sise is no setting. Did you mean tick-size?",
        "nosuch is no setting.",
        "p2p is 5, expected a section",
        "main.tick-size is -1",
        "hare3.committee is 65536",
        "The environment variable SMESHER_LAYERS_PER_EPOCH is 'many'",
        "--metrics-port is 'x'",
    ):
        assert sum(words in one for one in error.problems) == 1 and words in str(error)


def test_settings_of_our_own_come_from_everywhere_too() -> None:
    assert read("{}").own == OwnSettings()
    text = '{"smesher": {"smeshing-mode": "REMOTE", "log-files": 7}}'
    loaded = read(text, parse_flags(["--log-file=a.log"]), {"SMESHER_LOG_FILE_SIZE": "3"})
    assert loaded.own == OwnSettings("remote", Path("a.log"), 3, 7)
    with pytest.raises(ConfigError, match=r"smesher\.smeshing-mode is 'both', expected supervised or remote"):
        read('{"smesher": {"smeshing-mode": "both"}}')


def test_threads_fit_the_machine_unless_somebody_says_otherwise() -> None:
    assert read("{}", processors=8).config.smeshing.proving_opts.threads == 6
    text = '{"smeshing": {"smeshing-proving-opts": {"smeshing-opts-proving-threads": 2}}}'
    smeshing = read(text, processors=8).config.smeshing
    assert (smeshing.proving_opts.threads, smeshing.verifying_opts.workers) == (2, 4)


def test_a_variable_that_is_nearly_a_setting_is_told() -> None:
    (note,) = read("{}", environment={"SMESHER_TICK_SISE": "5", "SMESHER_CONTAINER": "x"}).notes
    assert "SMESHER_TICK_SISE is no setting" in note and "SMESHER_TICK_SIZE" in note


def test_every_setting_has_a_meaning_that_is_a_sentence() -> None:
    found = meanings()
    assert set(found) == {one.path for one, _ in settings_of(Config)} | {one.path for one in own.SETTINGS}
    for path, text in found.items():
        assert re.fullmatch(r"[A-Z].{7,200}\.", text), f"{path}: {text}"
