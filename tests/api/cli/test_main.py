"""The command line itself: what the system refuses is told in words, and a choice among devices names them all."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from api.cli.data import info
from api.cli.main import COMMANDS, Command, build_parser
from kernels.devices import find
from kernels.devices.types import Device
from tests.support.cli import run_child, smesher

CARD = Device(0, "[GPU] CUDA/RTX", "GPU", "cuda", "CUDA", "maker", "535.54", 24 << 30, 82, "0000:01:00.0")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        ImportError("_bounded_integers.so: failed to map segment from shared object"),
        ImportError("libllvmlite.so: Cannot allocate memory"),
    ],
    ids=["memory", "threads", "mapping", "allocation"],
)
@pytest.mark.parametrize("more", [[], ["--json"]], ids=["words", "JSON"])
def test_a_system_without_memory_or_threads_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, more: list[str]
) -> None:
    def starved(*words: object) -> int:
        raise error

    monkeypatch.setattr(info, "run", starved)
    result = smesher("info", tmp_path, *more)
    result.refused(3, "no more memory or threads", str(error), "ulimit")


def test_another_error_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*words: object) -> int:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(info, "run", mistaken)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        smesher("info", tmp_path)


def test_without_threads_a_child_ends_with_words(tmp_path: Path) -> None:
    """For real: not one thread can be started."""
    script = (
        "import sys, threading\n"
        "from api.cli.main import main\n"
        'def refuse(*words): raise RuntimeError("can\'t start new thread")\n'
        "threading.Thread.start = refuse\n"
        "sys.exit(main())\n"
    )
    result = run_child("providers", script=script)
    result.refused(3, "no more memory or threads", "can't start new thread")


def test_a_selector_for_several_devices_names_them_with_their_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = [replace(CARD, id=number, pci=f"0000:0{number + 1}:00.0") for number in range(2)]
    other = replace(CARD, id=2, name="[GPU] AMD/gfx1100", pci=None, driver="3590.0")
    monkeypatch.setattr(find, "devices", lambda: [*twins, other])
    words = ["init", "--data-dir", tmp_path / "post", "--num-units", 4, "--commitment-atx-id", "22" * 32]
    words += ["--labels-per-unit", 64, "--scrypt-n", 2]
    result = smesher(*words, "--provider", "rtx")
    result.refused(
        2, "'rtx' matches 2 devices", "0: [GPU] CUDA/RTX (0000:01:00.0, 535.54)", "1: [GPU] CUDA/RTX (0000:02"
    )
    assert "gfx1100" not in result.text, "only what matches"
    smesher(*words, "--provider", "none").refused(2, "2: [GPU] AMD/gfx1100 (3590.0)", "0000:02:00.0")


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["identity", "show", "key", "another"], "smesher identity show"),
        (["providers", "--nothing"], "smesher providers"),
        (["poet", "status", "--nothing"], "smesher poet status"),
    ],
)
def test_a_word_too_many_is_told_by_the_command_that_does_not_know_it(words: list[str], command: str) -> None:
    smesher(*words).refused(2, f"{command}: unrecognized arguments: {words[-1]}", f"Try '{command} --help'")
    smesher(*words, "--json").refused(2, f"unrecognized arguments: {words[-1]} (see {command} --help)")


LONG = "q\x1b[31m" * 2000
"""As somebody pastes it: a whole file in place of a word."""


def _options(command: Command) -> list[str]:
    """The options of a command that take a word, and its name where it takes one without."""
    choices = next(action for action in build_parser(command)._actions if isinstance(action.choices, dict))
    assert choices.choices is not None
    sub: argparse.ArgumentParser = choices.choices[command.name]  # type: ignore[call-overload]
    taking = [one for one in sub._actions if one.nargs != 0]
    return [next((word for word in one.option_strings if word.startswith("--")), "") for one in taking]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
@pytest.mark.parametrize("more", [[], ["--json"]], ids=["words", "JSON"])
def test_long_input_is_repeated_cut_and_escaped(command: Command, more: list[str], tmp_path: Path) -> None:
    """By every option, as its own word and behind an equals sign, and as a word that nobody expects."""
    lines = [[word, LONG] for word in _options(command) if word]
    lines += [[f"{word}={LONG}"] for word in _options(command) if word]
    for line in [*lines, [LONG], [f"--{LONG}"], ["status", LONG], ["--config", LONG]]:
        result = smesher(command.name, *line, *more)
        assert result.code in (2, 3, 1), f"{line[0][:40]}: {result.code}"
        assert "\x1b" not in result.text and "Traceback" not in result.text, result.text[:400]
        said = result.err.split(": error: ")[-1] if not more else result.out
        assert len(said) < 6000, f"{line[0][:40]}: {len(said)} characters: {said[:300]}"


def test_what_argparse_says_of_a_long_word_is_short() -> None:
    result = smesher("verify-proof", "--randomx-mode", "x" * 5000)
    assert result.code == 2 and "invalid choice" in result.err
    assert "(choose from fast, light)" in result.err.replace("'", "")  # Python 3.12 and 3.13 quote differently
    assert len(result.err) < 2500
    assert "unrecognized arguments" in smesher("info", "a", "b" * 5000).refused(2, "...").err
