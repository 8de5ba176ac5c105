"""`smesher migrate` and the words of `smesher db` about room and exports: what they say, and their exit codes."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from api.cli.main import main
from api.node.data_directory import DataDirectory
from tests.support.imported_chain import imported_chain
from tests.support.original_node import OriginalNode


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> OriginalNode:
    """Nothing changes it but its lock file."""
    return OriginalNode(tmp_path_factory.mktemp("original") / "theirs", imported_chain())


@pytest.fixture(scope="module")
def moved(theirs: OriginalNode, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our data, made of it."""
    ours = tmp_path_factory.mktemp("moved") / "ours"
    assert main(["migrate", "from-go", str(theirs.config), "--data-folder", str(ours)]) == 0
    return ours


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [one for one in said if one["event"] != "progress"]


def test_from_an_original_and_back(theirs: OriginalNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, back = tmp_path / "ours", tmp_path / "back"
    assert main(["migrate", "from-go", str(theirs.path), "-d", str(ours), "-c", str(theirs.config), "--json"]) == 0
    done, note = events(capsys)
    assert done["event"] == "done" and done["rows"] == sum(done["tables"].values())
    assert done["identities"] == {"local.key": theirs.node_id.hex()} and done["signed"] == 1
    assert "Do not start the original" in note["message"]
    assert main(["migrate", "to-go", str(ours), str(back), "-c", str(theirs.config), "--json"]) == 0
    done, note = events(capsys)
    assert done["rows"] == {"state.sql": len(theirs.state_records), "local.sql": 0}
    assert (done["backup"], done["earliest"]) == (None, None)
    assert main(["migrate", "to-go", str(ours), str(back), "-c", str(theirs.config)]) == 0
    said = capsys.readouterr()
    assert "done" in said.out and "backup" in said.out and "Do not start smesher on" in said.err
    lock = tmp_path / "LOCK"
    assert main(["node", "-c", str(theirs.config), "-d", str(ours), "--filelock", str(lock)]) == 1
    assert f"was handed to the original node of {back}" in capsys.readouterr().err.replace("\n", "")


def test_what_to_do_next_is_said(theirs: OriginalNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "postdata_metadata.json").write_text("{}")
    document = json.loads(theirs.config.read_text())
    document["smeshing"] = {"smeshing-opts": {"smeshing-opts-datadir": str(labels)}}
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))
    ours = tmp_path / "ours"
    assert main(["migrate", "from-go", str(config), "-d", str(ours)]) == 0
    said = capsys.readouterr()
    assert f"smesher node --config {config} --data-folder {ours} --smeshing-opts-datadir {labels}" in said.out
    assert f"identity {theirs.node_id.hex()}" in said.out and "two nodes with one key" in said.err


def test_exit_codes(
    theirs: OriginalNode,
    moved: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, ours = str(theirs.config), str(tmp_path / "ours")
    assert main(["migrate", "from-go", config, "-d", str(moved)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert main(["migrate", "from-go", str(theirs.path), "-d", ours]) == 2
    assert "--config" in capsys.readouterr().err
    with theirs.lock.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["migrate", "from-go", config, "-d", ours]) == 1
        assert main(["migrate", "to-go", str(moved), str(tmp_path / "back"), "-c", config]) == 1
    assert capsys.readouterr().err.count("in use by") == 2
    with (moved / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["migrate", "to-go", str(moved), str(tmp_path / "back"), "-c", config]) == 1
        assert main(["db", "export", str(moved), str(tmp_path / "file"), "-c", config]) == 1
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1))
    assert main(["migrate", "from-go", config, "-d", ours]) == 3
    assert main(["db", "compact", str(moved)]) == 3
    assert "Make room first" in capsys.readouterr().err
    assert not Path(ours).exists()


def test_room_table_by_table(moved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "compact", str(moved), "--json"]) == 0
    before = events(capsys)
    assert [Path(one["path"]).name for one in before] == ["state", "own"]
    assert all(one["bytes"] > 0 and one["bytes_before"] > 0 for one in before)
    assert main(["db", "size", str(moved), "--json"]) == 0
    state, own = events(capsys)
    assert state["bytes"] > sum(state["spaces"].values()) / 2 > 0
    assert state["spaces"]["PoET proof bytes"] == max(state["spaces"].values())
    assert "own signatures" in own["spaces"]
    assert main(["db", "size", str(moved)]) == 0
    assert "PoET proof bytes" in capsys.readouterr().out
    assert main(["db", "check", str(moved)]) == 0


def test_where_there_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["size"], ["compact"]):
        assert main(["db", *words, str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("holds no store of a node") == 2
    assert main(["db", "export", str(tmp_path), str(tmp_path / "file")]) == 1
    assert "genesis.json is not there" in capsys.readouterr().err


def test_an_export(theirs: OriginalNode, moved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "state.sql"
    words = ["db", "export", str(DataDirectory(moved).path), str(file), "--config", str(theirs.config)]
    assert main([*words, "--json"]) == 0
    (done,) = events(capsys)
    assert done == {"event": "done", "path": str(file), "rows": len(theirs.state_records)}
    assert main(words) == 1
    assert "exists already" in capsys.readouterr().err
