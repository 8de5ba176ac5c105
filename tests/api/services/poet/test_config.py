"""How a PoET server is told what to do: what is refused, by which name, before anything starts."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from nacl.bindings import crypto_sign_seed_keypair

from api.cli.poet.serve import help_text
from api.services.poet.config import Config, ConfigError, described, load
from api.services.poet.options import SETTINGS
from protocol.numbers.durations import HOUR, SECOND
from tests.support.cli import smesher

HOME = {"HOME": "/home/nobody"}


def refused(*words: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(words, HOME | (environment or {}))
    assert caught.value.exit_code == 1, "as the original's"
    return str(caught.value)


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (["--genesis-time", "2023-07-14"], ["--genesis-time is '2023-07-14'", "a time with its zone"]),
        (["--epoch-duration", "5"], ["--epoch-duration is '5'", "a duration such as", "unit"]),
        (["--epoch-duration", "9" * 5000 + "s"], ["--epoch-duration is '999", "too long"]),
        (["--epoch-duration", "0s"], ["epoch-duration is 0 ns"]),
        (["--cycle-gap=-1s"], ["cycle-gap is -1000000000 ns"]),
        (["--cycle-gap=30s"], ["cycle-gap is 30s and epoch-duration 30s", "shorter cycle-gap"]),
        (["--epoch-duration=5s"], ["cycle-gap is 10s and epoch-duration 5s"]),
        (["--lps=-1"], ["--lps is '-1'", "from 0 to"]),
        (["--lps", "9" * 5000], ["--lps is '999"]),
        (["--lps", "0x10"], ["--lps is '0x10'"]),
        (["--metrics-port", "65536"], ["--metrics-port is '65536'", "65535"]),
        (["--pow-difficulty", "257"], ["--pow-difficulty is '257'", "from 0 to 256"]),
        (["--keep-rounds", "0"], ["--keep-rounds is '0'", "from 1 to"]),
        (["--network", "maynet"], ["--network is 'maynet'", "mainnet"]),
        (["--certifier-pubkey", "***"], ["--certifier-pubkey is '***'", "'*' at place 1"]),
        (["--certifier-pubkey", "AAAA"], ["certifier-pubkey has 3 bytes, expected 32"]),
        (["--certifier-pubkey", "AA\nAA"], ["certifier-pubkey has 3 bytes"]),
        (["--poetdir", ""], ["--poetdir is ''", "the name of a file or directory"]),
        (["--datadir="], ["--datadir is ''"]),
        (["--epoch-duraton", "5s"], ["no flag --epoch-duraton", "Did you mean --epoch-duration?"]),
        (["--jsonlog=true"], ["--jsonlog is a switch"]),
        (["--lps", "--jsonlog"], ["--lps needs a value", "'--jsonlog' follows"]),
        (["--rpclisten", "localhost"], ["'localhost' cannot be listened on", "localhost:8080"]),
        (["--rpclisten", "localhost:" + "9" * 5000], ["cannot be listened on"]),
        (["statsu"], ["'statsu' is no option of the server"]),
        (["--jsonlog", "--", "x"], ["'x' is no option"]),
        (["--configfile", "/dev/zero"], ["--configfile /dev/zero", "it is a device, expected a file"]),
        (["--configfile", "/nowhere/x.conf"], ["--configfile /nowhere/x.conf", "no such file"]),
    ],
)
def test_a_bad_setting_is_named_with_what_was_expected(words: list[str], facts: list[str]) -> None:
    text = refused(*words)
    assert all(fact in text for fact in facts), text
    assert "strconv" not in text and "2006" not in text and len(text) < 500, text


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (["--certifier-url", "http://x"], ["certifier-url", "without certifier-pubkey"]),
        (["--max-round-members", "0"], ["max-round-members is 0"]),
        (["--disable-worker", "--cpu", "0"], ["disable-worker", "cpu"]),
        (["--disable-worker", "--realtime"], ["disable-worker", "realtime"]),
        (["--cpu", "65535"], ["cpu: no thread can be pinned to processor 65535", "Here are"]),
        (["--rpclisten", "h:5", "--restlisten", "h:5"], ["rpclisten and restlisten are both h:5"]),
        (["--rpclisten", "h:5", "--metrics-port", "5"], ["rpclisten and metrics-port are both port 5"]),
    ],
)
def test_settings_that_cannot_work_together_are_refused_at_start(words: list[str], facts: list[str]) -> None:
    text = refused(*words)
    assert all(fact in text for fact in facts), text


def test_listeners_at_any_port_do_not_meet() -> None:
    found = load(["--rpclisten", "localhost:0", "--restlisten", "localhost:0", "--metrics-port", "0"], HOME)
    assert found.rpclisten == found.restlisten == "localhost:0"


def from_file(tmp_path: Path, content: bytes, *words: str) -> Config:
    path = tmp_path / "poet.conf"
    path.write_bytes(content)
    return load(["--configfile", str(path), *words], HOME)


def test_the_file_stands_below_the_flags_and_above_the_network(tmp_path: Path) -> None:
    found = from_file(tmp_path, b"network=mainnet\nepoch-duration=13h\nlps=1\n", "--lps", "2")
    assert found.schedule.epoch_duration_ns == 13 * HOUR and found.lps == 2
    assert (found.schedule.cycle_gap_ns, found.pow_difficulty) == (12 * HOUR, 20)


def test_a_file_as_an_editor_on_windows_writes_it(tmp_path: Path) -> None:
    found = from_file(tmp_path, b'\xef\xbb\xbf[Round]\r\nepoch-duration = "60s"\r\n; nothing\r\n[Service]\r\nlps=5\r\n')
    assert found.schedule.epoch_duration_ns == 60 * SECOND and found.lps == 5
    assert from_file(tmp_path, "lps=7\n".encode("utf-16")).lps == 7


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (b"nope=1\n", ["line 1: nope is no setting"]),
        (b"\nepoch-duraton=5s\n", ["line 2: epoch-duraton", "Did you mean epoch-duration?"]),
        (b"[Rond]\nlps=1\n", ["line 1: '[Rond]' begins no group", "Did you mean Round?"]),
        (b"[Round]\nlps=1\n", ["line 2: lps is no setting of [Round]"]),
        (b"lps=abc\n", ["line 1: lps is 'abc'", "whole number"]),
        (b"lps\n", ["line 1 is 'lps', expected name = value"]),
        (b"LPS=5\n", ["line 1: LPS is no setting"]),
        (b"version=true\n", ["version is for the command line"]),
        (b'lps="5\n', ["lps: the quote is not closed"]),
        (b"lps=\xff\n", ["no UTF-8 text (at byte 4)"]),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, content: bytes, facts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        from_file(tmp_path, content)
    text = str(caught.value)
    assert str(tmp_path / "poet.conf") in text and all(fact in text for fact in facts), text


def test_a_key_in_the_environment_is_checked_whole_and_never_shown() -> None:
    key = crypto_sign_seed_keypair(bytes(32))[1]
    text = base64.b64encode(key).decode()
    found = load([], HOME | {"POET_PRIVATE_KEY": text})
    assert found.private_key == key
    assert text not in str(described(found))
    other = base64.b64encode(key[:32] + bytes(32)).decode()
    for value, words in ((other, "second half"), (text[:40], "the base64 of 30 bytes"), ("!", "not base64")):
        said = refused(environment={"POET_PRIVATE_KEY": value})
        assert words in said and value not in said


def test_help_says_every_default_and_is_no_error() -> None:
    result = smesher("poet", "--help").ok()
    assert result.out == help_text() + "\n"
    for one in SETTINGS:
        line = next(line for line in result.out.splitlines() if f"--{one.flag}" in line[:36].split("=")[0].split())
        plain = one.kind.switch or one.default is None
        assert one.help in line and (plain or f"(default: {one.kind.to_file(one.default)})" in line), line
    smesher("poet", "-h").ok()


def test_what_a_log_says_is_what_differs() -> None:
    found = load(
        ["--network", "mainnet", "--lps", "5", "--trusted-pub-keys-dir-path", "/keys", "--poetdir", "/p"], HOME
    )
    told = described(found)
    assert told["genesis-time"] == "2023-07-14T08:00:00Z" and told["epoch-duration"] == "336h0m0s"
    assert told["lps"] == 5 and told["poetdir"] == "/p" and str(told["trusted-pub-keys-dir-path"]) == "/keys"
    assert "rpclisten" not in told and "private-key" not in told


def test_a_processor_is_tried_and_the_program_stays_where_it_was() -> None:
    here = os.sched_getaffinity(0)
    assert load(["--cpu", str(min(here))], HOME).cpu == min(here)
    assert os.sched_getaffinity(0) == here
