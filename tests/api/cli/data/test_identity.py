"""`smesher identity`, and the key that `make demo` makes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from api.cli.data import demo
from prover.post import identity
from tests.support.cli import smesher


def test_a_new_key_is_written_for_its_owner_alone_and_its_node_id_told(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    told = smesher("identity", "new", path).ok()
    key = identity.decode(path.read_bytes(), "key")
    assert key.node_id.hex() in told.out
    assert key.seed.hex() not in told.text
    assert "copy it to the node's data/identities" in told.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == 128

    shown = smesher("identity", "show", path, "--json").ok()
    assert shown.last == {"event": "done", "node_id": key.node_id.hex(), "file": str(path)}
    assert key.seed.hex() not in shown.text


def test_a_key_that_an_editor_saved_is_the_same_key(tmp_path: Path) -> None:
    """With a byte order mark in front and another line end."""
    made = smesher("identity", "new", tmp_path / "key", "--json").ok().last
    (tmp_path / "edited").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "key").read_bytes() + b"\r\n")
    assert smesher("identity", "show", tmp_path / "edited", "--json").ok().last["node_id"] == made["node_id"]


def test_two_keys_are_not_the_same(tmp_path: Path) -> None:
    ids = {smesher("identity", "new", tmp_path / name, "--json").ok().last["node_id"] for name in ("a", "b")}
    assert len(ids) == 2


def test_init_takes_the_key(tmp_path: Path) -> None:
    made = smesher("identity", "new", tmp_path / "my.key", "--json").ok().last
    data = tmp_path / "post"
    words = ["--num-units", 1, "--labels-per-unit", 64, "--scrypt-n", 2, "--commitment-atx-id", "22" * 32, "--cpu"]
    smesher("init", "--data-dir", data, "--identity", tmp_path / "my.key", *words).ok()
    assert smesher("info", data, "--json").ok().last["node_id"] == made["node_id"]


@pytest.mark.parametrize("there", ["file", "directory", "link"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    path = tmp_path / "identity.key"
    if there == "file":
        path.write_text("mine")
    elif there == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    smesher("identity", "new", path).refused(2, str(path), "exists already")
    assert not (tmp_path / "elsewhere").exists()
    assert there != "file" or path.read_text() == "mine"


def test_a_key_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    smesher("identity", "new", tmp_path / "absent" / "identity.key").refused(3, "cannot be written", "no directory")
    assert list(tmp_path.iterdir()) == []


def test_half_a_key_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    smesher("identity", "new", tmp_path / "identity.key").refused(3, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_key_is_named(tmp_path: Path) -> None:
    smesher("identity", "show", tmp_path / "absent").refused(2, "There is no file", "smesher identity new")
    smesher("identity", "show", tmp_path).refused(2, "is a directory")
    os.mkfifo(tmp_path / "fifo")
    smesher("identity", "show", tmp_path / "fifo").refused(2, "is a FIFO")
    (tmp_path / "large").write_bytes(bytes(5000))
    smesher("identity", "show", tmp_path / "large").refused(2, "more than 4096 bytes")
    (tmp_path / "damaged").write_text("00" * 64)
    smesher("identity", "show", tmp_path / "damaged").refused(2, "does not belong to the seed")


def test_the_second_demo_keeps_the_key_that_the_first_one_told_to_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "LABELS_PER_UNIT", 64)
    monkeypatch.setattr(demo, "FILE_BYTES", 1024)
    demo.demo()
    key = (tmp_path / "demo-data" / "identity.key").read_bytes()
    labels = (tmp_path / "demo-data" / "postdata_0.bin").read_bytes()
    demo.demo()
    assert (tmp_path / "demo-data" / "identity.key").read_bytes() == key
    assert (tmp_path / "demo-data" / "postdata_0.bin").read_bytes() == labels


def test_the_demo_does_not_touch_what_is_not_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo-data").mkdir()
    (tmp_path / "demo-data" / "letters.txt").write_text("mine")
    with pytest.raises(SystemExit, match=r"letters\.txt, which no demo made"):
        demo.demo()
    assert (tmp_path / "demo-data" / "letters.txt").read_text() == "mine"
