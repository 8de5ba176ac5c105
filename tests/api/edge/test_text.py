"""Texts that people type and files that they name: read as they are meant, or refused by name."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.edge import text
from api.edge.errors import EnvironmentFault, UsageError
from tests.support.cli import ROOT


@pytest.mark.parametrize(
    "data",
    [
        b"one\ntwo\n",
        b"\xef\xbb\xbfone\r\ntwo\r\n",
        "one\rtwo\r".encode("utf-16"),
        "\ufeffone\ntwo\n".encode("utf-16-be"),
    ],
    ids=["plain", "mark and Windows", "UTF-16", "UTF-16, big-endian"],
)
def test_a_file_is_read_as_its_editor_wrote_it(data: bytes) -> None:
    assert text.decoded(data, "file") == "one\ntwo\n"


def test_what_is_no_text_is_refused_with_its_place() -> None:
    with pytest.raises(UsageError, match=r"file is no UTF-8 text \(at byte 2\)"):
        text.decoded(b"ab\xff", "file")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("\ufeffword", "word"),
        ("  word\t\u00a0", "word"),
        ("\u200eword\u200f", "word"),
        ("wo\u00adrd\u200b", "word"),
        ("cafe\u0301", "café"),
        ("word\r\n", "word"),
    ],
)
def test_a_word_is_read_without_what_nobody_sees(given: str, meant: str) -> None:
    assert text.typed(given) == meant


def test_a_secret_is_tried_in_the_forms_in_which_it_may_have_been_typed() -> None:
    assert text.same_when_typed("plain") == ("plain",), "one try, one key to derive"
    forms = text.same_when_typed("\ufeffcafe\u0301 ")
    assert forms[0] == "\ufeffcafe\u0301 ", "first as it is"
    assert {"café", "cafe\u0301", "café ", "cafe\u0301 "} <= set(forms)


@pytest.mark.parametrize("word", ["", "-1", "+1", "1_0", "١", "1.0", " 1", "9" * 41, "9" * 5000])
def test_what_is_no_number(word: str) -> None:
    assert not text.is_whole(word)
    with pytest.raises(ValueError, match="no whole number"):
        text.whole(word)


@given(st.integers(0, 10**40 - 1))
def test_every_other_number_is_read(number: int) -> None:
    assert text.whole(str(number)) == number


def test_what_is_shown_is_bounded_and_on_one_line() -> None:
    assert len(text.shown("x" * 10_000)) <= 60 and len(text.shown(["x"] * 10_000)) <= 60
    assert text.shown(1 << 50_000) == "a number of 50001 bits", "without the digits, which Python would refuse"
    assert text.escaped("a\nb\x1b[31m\u202e") == "a\\nb\\x1b[31m\\u202e"
    assert len(text.escaped("x" * 1000)) == 201


@pytest.mark.parametrize("word", ["/mnt/post", "a b", "it's", "$HOME", "", "-x", "a;rm -rf b", "é", "*", "a\nb"])
def test_a_shell_gives_back_what_was_quoted(word: str) -> None:
    script = f"printf %s {text.quoted(word)}"
    assert subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout.decode() == word


# Files


def test_what_is_no_ordinary_file_is_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, words in (
        (tmp_path / "none", "there is no such file"),
        (tmp_path, "is a directory, expected a file"),
        (tmp_path / "fifo", "is a FIFO"),  # and does not wait for somebody to write to it
        (Path("/dev/zero"), "is a device"),  # and is not read without end
    ):
        with pytest.raises(UsageError, match=f"--option {path}.*{words}"):
            text.read_file(path, "--option")
    with pytest.raises(UsageError, match="--option is empty"):
        text.file_path("", "--option")


def test_a_file_has_a_size_that_it_may_have(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(18 << 30)
    with pytest.raises(UsageError, match="more than 1048576 bytes"):
        text.read_file(path, "--option")
    os.truncate(path, 5)
    assert text.read_file(path, "--option", 5) == bytes(5)


def test_a_file_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, *words: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(EnvironmentFault, match="Permission denied"):
        text.read_file(tmp_path / "mine", "--option")


def test_what_a_shell_pipes_into_a_command_is_read() -> None:
    reader, writer = os.pipe()
    script = "import sys; from pathlib import Path; from api.edge.text import read_text\n"
    script += f"sys.stdout.write(read_text(Path('/dev/fd/{reader}'), '--file') + read_text(Path('-'), '--file'))"
    thread = threading.Thread(target=lambda: (os.write(writer, b"one\n"), os.close(writer)))
    thread.start()
    child = subprocess.run(
        [sys.executable, "-c", script], input="two\n", capture_output=True, text=True, cwd=ROOT, pass_fds=[reader],
        close_fds=True, timeout=60,
    )  # fmt: skip
    thread.join()
    os.close(reader)
    assert child.stdout == "one\ntwo\n", child.stderr


@pytest.mark.parametrize("typed", ["00ff", "0x00FF", "0X00ff", " 00ff\n", "\ufeff00ff", "\u200b0x00ff"])
def test_hex_digits_are_read_as_people_paste_them(typed: str) -> None:
    assert text.from_hex(typed, 2) == b"\0\xff"


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("00f", "it has 3"),
        ("00ff00", "it has 6"),
        ("", ""),
        ("00fg", ""),
        ("0 0ff", ""),
        ("\uff10\uff10ff", ""),
        (None, ""),
        (5, ""),
        ("AP8=", "that is base64; in hex it is 00ff"),
    ],
)
def test_what_is_no_hex_is_refused_with_what_it_may_be(typed: object, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        text.from_hex(typed, 2)
    assert str(caught.value) == hint


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "expecting property name enclosed in double quotes at line 1, column 2"),
        (b"{}\n}", "extra data at line 2, column 1"),
        (b'{"a": \xff}', "it is no UTF-8 text (at byte 6)"),
        (b"\xef\xbb\xbf{}", "it begins with a byte order mark"),
        (b"[" * 100_000, "it is nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "it holds a number of thousands of digits"),
    ],
)
def test_what_is_no_json_is_told_in_words_for_people(data: bytes, words: str) -> None:
    with pytest.raises((ValueError, RecursionError)) as caught:
        json.loads(data.decode())
    assert text.why_no_json(caught.value) == words
