"""The one loader: sources in their order, places in messages, keys that nobody knows, numbers without end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.config import kinds
from api.config.errors import BadValue, ConfigError
from api.config.files import read_document
from api.config.load import flags, load, parse_flags
from api.config.settings import Flags, Setting, from_document, from_environment, unknown_variables, values

SETTINGS = (
    Setting("log.level", kinds.one_of("info", "error"), "info", "how much is logged", "level", "l", ("P_LEVEL",)),
    Setting("peers", kinds.TEXTS, (), "who is asked", "peer", variables=("P_PEERS",)),
    Setting("size", kinds.decimal_integer(1, 100), 7, "how many", "size", variables=("P_SIZE", "P__SIZE")),
    Setting("quiet", kinds.BOOLEAN, False, "say nothing", "quiet"),
    Setting("key", kinds.HASH32, None, "what signs", "key", secret=True),
)


def found(*words: str, environment: dict[str, str] | None = None, document: dict[str, Any] | None = None) -> Any:
    return values(
        SETTINGS,
        from_document(SETTINGS, document or {}, where="file: "),
        from_environment(SETTINGS, environment or {}),
        Flags(SETTINGS).parse(words)[0],
    )


def test_file_environment_and_flags_one_above_the_other() -> None:
    assert found() == {"log.level": "info", "peers": (), "size": 7, "quiet": False, "key": None}
    document = {"size": 1, "log": {"level": "error"}, "peers": ["a"]}
    assert found(document=document)["size"] == 1
    assert found(document=document, environment={"P_SIZE": "2"})["size"] == 2
    assert found(document=document, environment={"P_SIZE": "2", "P__SIZE": "3"})["size"] == 3
    whole = found("--size=4", "--peer", "b", "--peer=c", "--quiet", document=document, environment={"P_SIZE": "2"})
    assert whole == {"log.level": "error", "peers": ("b", "c"), "size": 4, "quiet": True, "key": None}
    assert found("--quiet=false", "-linfo", document={"quiet": True})["quiet"] is False
    assert found(document={"size": None})["size"] == 7, "null leaves it alone"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"document": {"size": 0}}, "file: size is 0, expected a whole number from 1 to 100."),
        ({"document": {"size": True}}, "file: size is True, expected a whole number"),
        ({"document": {"size": 1 << 20_000}}, "file: size is a number of 20001 bits, expected"),
        ({"document": {"log": {"level": "loud"}}}, "file: log.level is 'loud', expected info or error."),
        ({"document": {"log": 5}}, "file: log is 5, expected a section with settings of its own."),
        ({"document": {"log": {"levle": 1}}}, "file: log.levle is no setting. Did you mean level?"),
        ({"document": {"sise": 1}}, "file: sise is no setting. Did you mean size?"),
        ({"document": {"zzz": 1}}, "file: zzz is no setting. Known here: log, peers, size, quiet, key."),
        ({"environment": {"P_SIZE": "9" * 5000}}, "The environment variable P_SIZE is '999"),
        ({"environment": {"P_SIZE": "x\x1b[2J"}}, r"P_SIZE is 'x\x1b[2J'"),
        ({"document": {"key": "ab"}}, "file: key is not what it should be, expected 64 hex digits"),
    ],
)
def test_what_is_wrong_is_told_by_its_place(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        found(**arguments)
    assert message in str(caught.value) and len(str(caught.value)) < 300
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("words", [["--size", "0"], ["--sise=1"], ["--size"], ["-z"], ["--level=loud"]])
def test_flags_are_refused_by_name(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"--size|--sise|-z|--level"):
        found(*words)


def test_a_strict_command_line_takes_no_value_for_a_switch_and_no_flag_for_a_value() -> None:
    strict = Flags(SETTINGS, strict=True)
    for words in (["--quiet=true"], ["--size", "--quiet"]):
        with pytest.raises(ConfigError):
            strict.parse(words)
    (one,), others = strict.parse(["a", "--size", "-5", "--", "--quiet"])
    assert (one.value, others) == ("-5", ("a", "--quiet"))


def test_variables_that_miss_a_name_are_told_and_others_are_not() -> None:
    (note,) = unknown_variables(SETTINGS, "P_", {"P_SIZES": "1", "P_PORT": "tcp://1", "P_SIZE": "1", "HOME": "/"})
    assert note == "The environment variable P_SIZES is no setting and has no effect. Did you mean P_SIZE?"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("main.tick-size", "1" * 5000),
        ("main.layer-duration", "1" * 5000 + "s"),
        ("main.layer-duration", "0." + "1" * 5000 + "s"),
        ("beacon.beacon-q", "1e1000000000"),
        ("beacon.beacon-q", "1/" + "3" * 5000),
        ("p2p.inbound-fraction", "1e400"),
        ("p2p.inbound-fraction", "nan"),
        ("genesis.genesis-time", "2023-07-14T08:00:00." + "0" * 5000 + "Zx"),
        ("p2p.listen", "/ip4/1.2.3.4/tcp/" + "1" * 5000),
        ("main.atx-versions", {"1" * 5000: 1}),
        ("genesis.accounts", {"sm1a": "1" * 5000}),
    ],
)
def test_numbers_without_end_are_refused_in_words(path: str, value: object) -> None:
    section, _, name = path.partition(".")
    with pytest.raises(ConfigError, match=path):
        load(json.dumps({section: {name: value}}))


@pytest.mark.parametrize("text", ['{"p2p": {"inbound-fraction": 1e400}}', '{"beacon": {"beacon-q": 1e400}}',
                                  '{"smeshing": {"smeshing-opts": {"smeshing-opts-provider": 1e400}}}'])  # fmt: skip
def test_numbers_of_json_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        load(text)


def test_json_numbers_without_end_and_documents_without_bottom() -> None:
    for text in ('{"main": {"tick-size": ' + "9" * 5000 + "}}", "[" * 100_000, '{"a":' * 100_000):
        with pytest.raises(ConfigError, match="no JSON"):
            load(text)


@given(st.sampled_from([one.flag for one in flags()]), st.text(max_size=40))
def test_any_text_of_any_flag_is_a_value_or_refused(flag: str, text: str) -> None:
    try:
        load("{}", parse_flags([f"--{flag}={text}"]))
    except ConfigError as error:
        assert str(error)


def test_base64_in_place_of_hex_is_recognised() -> None:
    with pytest.raises(BadValue, match=f"in hex it is {'00' * 31}01"):
        kinds.HASH32.from_text("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=")


def test_a_document_as_an_editor_on_windows_writes_it(tmp_path: Path) -> None:
    for name, content in (
        ("a.json", b'\xef\xbb\xbf{"a": 1}\r\n'),
        ("a.toml", b"\xef\xbb\xbfa = 1\r\n"),
        ("a.yml", "a: 1\r\n".encode("utf-16")),
    ):
        (tmp_path / name).write_bytes(content)
        assert {key: int(value) for key, value in read_document(tmp_path / name).items()} == {"a": 1}
