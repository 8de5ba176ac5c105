"""What every command meets: paths that name nothing, outputs that are full, numbers that nobody means, shells."""

from __future__ import annotations

import base64
import itertools
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.cli import common
from api.cli.main import COMMANDS, build_parser
from api.cli.output import command
from api.edge import errors
from api.edge import logging as logs
from kernels.labels.cpu import usable_cores
from tests.support.cli import ATX_ID, ENTRY, NODE_ID, Job, environment, smesher


def options() -> Iterator[tuple[str, str]]:
    """Commands and their options that take a path."""
    for one in COMMANDS:
        parser = build_parser(one)
        sub = parser._subparsers._group_actions[0].choices[one.name]  # type: ignore[union-attr, index]
        for action in sub._actions:
            if action.type is common.path and action.option_strings:
                yield one.name, action.option_strings[-1]


def test_no_option_takes_a_path_that_may_be_empty() -> None:
    for one in COMMANDS:
        sub = build_parser(one)._subparsers._group_actions[0].choices[one.name]  # type: ignore[union-attr, index]
        inner = [action.choices.values() for action in sub._actions if isinstance(action.choices, dict)]
        for parser in (sub, *(word for words in inner for word in words)):
            assert all(action.type is not Path for action in parser._actions), parser.prog


@pytest.mark.parametrize(("name", "option"), sorted(options()))
def test_an_empty_path_is_refused_by_every_option(name: str, option: str, tmp_path: Path) -> None:
    """It would be the current directory."""
    before = set(os.listdir())
    smesher(name, option, "").refused(2, option, "empty")
    assert set(os.listdir()) == before


def test_a_data_directory_must_have_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--num-units", 1, "--commitment-atx-id", ATX_ID, "--cpu")
    smesher("init", "--data-dir", "", *words).refused(2, "--data-dir", "empty")
    assert not any(tmp_path.iterdir())


def test_a_slip_in_the_name_of_a_list_makes_no_directory(tmp_path: Path) -> None:
    words = ("--num-units", 1, "--commitment-atx-id", ATX_ID, "--cpu")
    smesher("init", "--data-dir", tmp_path / "lsit.toml", *words).refused(2, "does not exist", "list of directories")
    (tmp_path / "list.toml").write_text('directories = [""]')
    smesher("init", "--data-dir", tmp_path / "list.toml", *words).refused(2, "directories[0]", "empty")
    (tmp_path / "list.toml").write_text("a = " + "9" * 5000)
    smesher("init", "--data-dir", tmp_path / "list.toml", *words).refused(2, "cannot be read as TOML")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["list.toml"]


@pytest.mark.parametrize(
    "words",
    [
        ("init", "--data-dir", "D", "--num-units", "1", "--commitment-atx-id", ATX_ID, "--identity"),
        ("verify-proof", "--metadata", "D", "--proof"),
        ("poet", "verify"),
        ("tx", "combine"),
        ("wallet", "show"),
        ("certifier", "--config"),
        ("poet", "--configfile"),
    ],
    ids=lambda words: f"{words[0]} {words[-1]}",
)
@pytest.mark.parametrize("kind", ["FIFO", "device", "directory", "large"])
def test_what_is_no_file_of_this_kind_is_refused_by_name(
    words: tuple[str, ...], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("/dev/zero") if kind == "device" else tmp_path / kind
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "large":
        with open(path, "wb") as file:
            file.truncate(300 << 20)
    result = smesher(*words, path)
    result.refused(result.code, path, {"large": "more than", "FIFO": "is a FIFO"}.get(kind, f"is a {kind}"))
    assert result.code == (1 if words[0] == "poet" and words[1] == "--configfile" else 2)


def test_an_output_that_is_full_ends_with_one_sentence(tmp_path: Path) -> None:
    data = Job().make(tmp_path / "data")
    told = (("info", data), ("info", data, "--json"), ("poet", "--help"), ("init", "--help"), ("--version",))
    for words, unbuffered in itertools.product(told, ("", "1")):
        with open("/dev/full", "w") as full:
            child = subprocess.run(
                [sys.executable, "-c", ENTRY, *map(str, words)],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(PYTHONUNBUFFERED=unbuffered),
                check=False,
            )
        assert child.returncode == 3, (words, child.stderr)
        assert "No space left on device" in child.stderr and len(child.stderr.splitlines()) == 1, (words, child.stderr)


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    child = subprocess.run(
        [sys.executable, "-c", ENTRY, "poet", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(PYTHONUNBUFFERED=""),
        check=False,
    )
    os.close(writer)
    assert (child.returncode, child.stderr) == (0, "")


@pytest.mark.parametrize("words", [("-V",), ("post-service", "-V"), ("k2pow-service", "-V"), ("certifier", "-V")])
def test_the_short_form_of_version(words: tuple[str, ...]) -> None:
    assert smesher(*words).ok().out == smesher("--version").ok().out


def test_a_base64_id_is_recognised(tmp_path: Path) -> None:
    text = base64.b64encode(bytes.fromhex(NODE_ID)).decode()
    words = ("--data-dir", tmp_path / "d", "--num-units", 1, "--commitment-atx-id", ATX_ID)
    smesher("init", *words, "--node-id", text).refused(2, "--node-id", f"that is base64; in hex it is {NODE_ID}")
    smesher("wallet", "address", "wallet", "--key", text).refused(2, f"in hex it is {NODE_ID}")


def test_hex_as_it_is_pasted() -> None:
    assert common.hex_bytes(f"\ufeff 0x{NODE_ID.upper()}\u200b\n", "--node-id") == bytes.fromhex(NODE_ID)


@pytest.mark.parametrize(
    "words",
    [
        ("init", "--data-dir", "D", "--num-units", "1", "--commitment-atx-id", ATX_ID),
        ("verify", "D"),
        ("repair", "D"),
        ("nonce", "D"),
        ("prove", "D", "--challenge", "00" * 32),
        ("verify-proof", "--proof", "P", "--metadata", "M"),
        ("providers", "--benchmark"),
        ("bench",),
        ("profile",),
        ("profile", "pow"),
        ("k2pow-service", "--bind-address", "127.0.0.1:0"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_more_threads_than_anybody_means(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    option = "--cores" if words[0] == "k2pow-service" else "--threads"
    result = smesher(*words, option, 100_000)
    result.refused(2, option, "100000", f"{usable_cores()} processors")
    assert len(result.text) < 3000 and not any(tmp_path.iterdir())


def test_sizes_are_written_alike_everywhere(tmp_path: Path) -> None:
    exact = 18014398509481983  # which a double does not hold
    for text, size in (
        ("4G", 4 << 30),
        ("4GiB", 4 << 30),
        (str(4 << 30), 4 << 30),
        ("1.5k", 1536),
        (str(exact), exact),
    ):
        assert common.memory_size(text) == size
    words = ("--num-units", 1, "--labels-per-unit", 256, "--scrypt-n", 2, "--commitment-atx-id", ATX_ID, "--cpu")
    smesher("init", "--data-dir", tmp_path / "d", *words, "--node-id", NODE_ID, "--max-file-size", "1K").ok()
    assert (tmp_path / "d" / "postdata_0.bin").stat().st_size == 1024
    for text in ("0", "-1", "4X", "nan", "1e400", "9" * 5000):
        smesher("init", "--data-dir", tmp_path / "e", *words, "--max-file-size", text).refused(2, "--max-file-size")


def test_what_comes_next_is_quoted_for_a_shell(tmp_path: Path) -> None:
    place = tmp_path / "my disk; rm -rf $HOME"
    words = ("--num-units", 1, "--labels-per-unit", 64, "--scrypt-n", 2, "--commitment-atx-id", ATX_ID, "--cpu")
    shown = smesher("init", "--data-dir", place, *words, "--node-id", NODE_ID).ok().out
    line = next(line for line in shown.splitlines() if "next:" in line)
    assert shlex.split(line.partition("next:")[2]) == ["smesher", "verify", str(place)]
    with open(place / "postdata_0.bin", "r+b") as file:
        file.write(bytes(1024))
    shown = smesher("verify", place, "--fraction", "100", "--cpu").text
    for line in (line for line in shown.splitlines() if "next: smesher" in line and "my disk" in line):
        assert str(place) in shlex.split(line.partition("next:")[2])
    assert shlex.split(command("init", "--data-dir", "it's")) == ["smesher", "init", "--data-dir", "it's"]


def test_a_narrow_terminal_cuts_no_id(tmp_path: Path) -> None:
    data = Job().make(tmp_path / "data")
    child = subprocess.run(
        [sys.executable, "-c", ENTRY, "info", str(data)],
        capture_output=True,
        text=True,
        env=environment(COLUMNS="40"),
        check=True,
    )
    assert NODE_ID in child.stdout and ATX_ID in child.stdout


def test_profile_looks_at_the_disk_before_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    smesher("profile", "--data-file", path, "--data-size", "100000").refused(3, tmp_path, "free", "97.66 TiB")
    assert not path.exists()
    for words in (("--duration", 0), ("--data-size", 0)):
        smesher("profile", "--data-file", path, *words).refused(2, "nothing would be measured")
    smesher("profile", "--data-file", path, "--duration", 10**9).refused(2, "--duration", "86400")
    os.mkfifo(path)
    smesher("profile", "--data-file", path, "--data-size", "0.001").refused(2, "is a FIFO")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e400", "86400", "x"])
def test_seconds_that_mean_nothing(seconds: str) -> None:
    for words in (("bench",), ("providers", "--benchmark"), ("poet", "bench")):
        smesher(*words, f"--seconds={seconds}").refused(2, "--seconds", seconds)


def test_errors_of_the_system_say_what_to_do() -> None:
    full = OSError(28, "No space left on device", "/mnt/x")
    assert (errors.exit_code(full), errors.sentence(full)) == (
        3,
        "/mnt/x: No space left on device. Make room, or choose another place.",
    )
    assert errors.exit_code(ValueError()) is None


def test_what_a_log_begins_and_ends_with(caplog: pytest.LogCaptureFixture) -> None:
    import logging

    log = logging.getLogger("test.service")
    with caplog.at_level(logging.INFO), pytest.raises(errors.EnvironmentFault), logs.end(log, "poet"):
        logs.begun(log, "poet", {"restlisten": "h:1", "name": "a\nb"})
        raise errors.EnvironmentFault("The port is taken.")
    first, second, last = caplog.messages
    assert first.startswith("smesher poet ") and "Python" in first
    assert second == "settings beside the defaults: restlisten = h:1, name = a\\nb"
    assert last == "smesher poet ends: The port is taken."
    caplog.clear()
    with caplog.at_level(logging.INFO), logs.end(log, "poet"):
        pass
    assert caplog.messages == ["smesher poet has ended"]
