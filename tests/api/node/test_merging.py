"""The identities of two nodes in one data directory: all of what they signed, and nobody twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.edge.lock import DirectoryLock
from api.node.start import note_stores, prepared
from node.schema import OWN, STATE
from node.store.level import open_own_store, open_store
from node.store.own import SIGNED, Kind, Slot
from node.store.view import Rows
from protocol.crypto.signing import Signer
from protocol.types.ids import NodeId
from tests.support.cli import smesher
from tests.support.node_data import NOW_NS, NodeFolder


def node(path: Path, *seeds: int, extra: str = "op") -> NodeFolder:
    """The data of a node with some identities, each of which has signed something."""
    path.mkdir()
    at = NodeFolder(path)
    at.keys.mkdir(parents=True)
    for seed in seeds:
        (at.keys / f"key-{seed}.key").write_text(Signer(bytes([seed]) * 32).identity_text())
    with prepared(at.config({"genesis": {"genesis-extra-data": extra}}), now_ns=NOW_NS) as found:
        store = open_own_store(found.data.own, OWN)
        rows = Rows(store.view())
        for one in found.identities.all:
            rows.put(SIGNED, Slot(one.node_id, Kind.ATX, 4), b"atx of " + one.node_id)
        store.write(rows)
        store.close()
        open_store(found.data.state, STATE).close()
        note_stores(found)
    return at


def signed(at: NodeFolder) -> dict[NodeId, bytes]:
    store = open_own_store(at.data / "own", OWN)
    found = {slot.identity: row for slot, row in store.view().scan(SIGNED)}
    store.close()
    return found


def sources(at: NodeFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(at.keys.iterdir())}


def test_keys_and_what_was_signed_join_what_is_there(tmp_path: Path) -> None:
    first, second = node(tmp_path / "a", 1, 2), node(tmp_path / "b", 3)
    before = sources(first), signed(first)
    done = smesher("merge-nodes", first.data, second.data, "--json").ok().last
    assert done["rows"] == 2 and set(done["identities"]) == {"key-1.key", "key-2.key"}
    assert len(signed(second)) == 3 and signed(second).items() >= before[1].items()
    assert (sources(first), signed(first)) == before
    with prepared(second.config(), now_ns=NOW_NS) as found:
        assert [one.name for one in found.identities.all] == ["key-1.key", "key-2.key", "key-3.key"]
    assert "Never start a node on" in smesher("merge-nodes", first.data, tmp_path / "c").ok().text


def test_an_empty_folder_becomes_a_data_directory(tmp_path: Path) -> None:
    first = node(tmp_path / "a", 1)
    merge_to = NodeFolder(tmp_path / "new")
    smesher("merge-nodes", first.data, merge_to.data).ok()
    assert signed(merge_to) == signed(first)
    assert oct((merge_to.keys / "key-1.key").stat().st_mode)[-3:] == "600"
    with prepared(merge_to.config(), now_ns=NOW_NS) as found:
        assert [one.name for one in found.identities.all] == ["key-1.key"] and found.warnings == ()


@pytest.mark.parametrize(
    ("seeds", "renamed", "code", "words"),
    [
        ((1, 2), "key-1.key", 1, "the same identity as"),
        ((2,), "key-1.key", 1, "a key of the same name as"),
        ((2,), "local.key", 2, "which has one identity only"),
    ],
)
def test_what_cannot_be_joined(tmp_path: Path, seeds: tuple[int, ...], renamed: str, code: int, words: str) -> None:
    first, second = node(tmp_path / "a", 1), node(tmp_path / "b", *seeds)
    if len(seeds) == 1:
        (second.keys / "key-2.key").rename(second.keys / renamed)
    for source, target in ((first, second), (second, first)):
        before = sources(target), signed(target)
        smesher("merge-nodes", source.data, target.data).refused(code, words)
        assert (sources(target), signed(target)) == before


def test_what_contradicts_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    first, second = node(tmp_path / "a", 1, 2), node(tmp_path / "b", 3)
    store = open_own_store(second.data / "own", OWN)
    rows = Rows(store.view())
    rows.put(SIGNED, Slot(NodeId(Signer(bytes([1]) * 32).public_key), Kind.ATX, 4), b"another one")
    store.write(rows)
    store.close()
    before = signed(second)
    smesher("merge-nodes", first.data, second.data).refused(1, "own signatures", "Nothing was copied")
    assert signed(second) == before and list(sources(second)) == ["key-3.key"]


def test_other_networks_other_programs_and_nodes_that_run(tmp_path: Path) -> None:
    first, second = node(tmp_path / "a", 1), node(tmp_path / "b", 2, extra="other")
    smesher("merge-nodes", first.data, second.data).refused(1, "'other' there, 'op' configured")
    smesher("merge-nodes", first.data, first.data).refused(2, "cannot be joined with itself")
    smesher("merge-nodes", tmp_path / "nowhere", first.data).refused(
        2, "nowhere", "expected the data directory of a node"
    )
    original = tmp_path / "original"
    original.mkdir()
    (original / "local.sql").touch()
    smesher("merge-nodes", original, first.data).refused(2, "local.sql", "smesher migrate from-go")
    lock = DirectoryLock.take(first.data / "node.lock", "smesher node")
    smesher("merge-nodes", first.data, tmp_path / "c").refused(
        1, "in use by smesher node", "Stop what runs there first"
    )
    lock.release()
