"""A node begins from a checkpoint: whole or not at all, wherever it is cut off. The reference's cases of good and bad
files are in `tests.vector_cases.api_node_operation`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api.edge.errors import DataError
from api.node.start import prepared
from node.checkpoint.ledger import effective_genesis
from node.checkpoint.tables import RESTORED
from node.ledger import state
from node.schema import STATE
from node.store.keys import ONLY
from node.store.level import open_store
from node.store.view import Rows
from prover import durable
from tests.support.node_data import NOW_NS, NodeFolder, serving_file

FILE = Path(__file__).parents[2] / "vectors" / "api" / "checkpoint_devnet_a_100.json"
LAYER = 176


class Killed(BaseException):
    """Stands for a kill: nobody handles it."""


@pytest.fixture
def at(tmp_path: Path) -> NodeFolder:
    found = NodeFolder(tmp_path)
    found.used()
    with closing(open_store(found.data / "state", STATE)) as store:  # something to tell the old state by
        rows = Rows(store.view())
        rows.put(RESTORED, ONLY, 3)
        store.write(rows, sync=True)
    return found


def start(at: NodeFolder, url: str, now_ns: int = NOW_NS, **options: Any) -> tuple[str, ...]:
    recovery = {"recovery-uri": url, "recovery-layer": LAYER, **options}
    with prepared(at.config({"recovery": recovery}), now_ns=now_ns) as found:
        return found.warnings


def genesis(path: Path) -> int | None:
    """The effective genesis of a state."""
    with closing(open_store(path, STATE)) as store:
        return effective_genesis(store.view())


def test_the_new_state_is_in_place_and_the_old_one_in_a_backup(at: NodeFolder) -> None:
    (at.data / "bootstrap" / "3").mkdir(parents=True)
    with serving_file(FILE.read_bytes()) as url:
        (told,) = start(at, f"{url}/snapshot-100")
    assert f"layer {LAYER} is the next one" in told and "backup." in told
    assert genesis(at.data / "state") == LAYER - 1
    with closing(open_store(at.data / "state", STATE)) as store:
        assert len(list(state.accounts(store.view()))) == FILE.read_text().count('"address"')
    (backup,) = at.data.glob("backup.*")
    assert genesis(backup / "state") == 2 and sorted(path.name for path in backup.iterdir()) == ["state", "state.store"]
    (folder,) = at.data.glob("recovery.*")
    assert [path.name for path in folder.iterdir()] == [f"snapshot-100-restore-{LAYER}"]
    assert not (at.data / "bootstrap").exists() and not (at.data / "recovery").exists()


def test_it_is_done_once(at: NodeFolder) -> None:
    with serving_file(FILE.read_bytes()) as url:
        start(at, url)
    assert start(at, url) == ()  # the server is gone
    assert start(at, url, **{"recovery-layer": LAYER - 1}) == ()
    assert len(list(at.data.glob("backup.*"))) == 1


def test_a_later_layer_is_another_recovery(at: NodeFolder) -> None:
    with serving_file(FILE.read_bytes()) as url:
        start(at, url)
        start(at, url, NOW_NS + 10**9, **{"recovery-layer": LAYER + 1})
    assert genesis(at.data / "state") == LAYER and len(list(at.data.glob("backup.*"))) == 2


def test_where_no_checkpoint_comes_the_state_stays(at: NodeFolder) -> None:
    with serving_file(b"", 404) as url:
        (told,) = start(at, url)
    assert "404" in told and "goes on with the state that it has" in told and genesis(at.data / "state") == 2


def test_a_bad_file_changes_nothing(at: NodeFolder) -> None:
    with serving_file(b"{}") as url, pytest.raises(DataError, match="nothing was changed"):
        start(at, url)
    assert genesis(at.data / "state") == 2 and not list(at.data.glob("backup.*"))


@pytest.mark.parametrize("step", range(6))
def test_a_kill_at_any_step_leaves_the_old_state_or_the_new_one(
    at: NodeFolder, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The steps are the renames of the two stores, their markers, and the folder of the download."""
    rename, done = durable.rename, []

    def rename_or_die(source: Path, target: Path) -> None:
        if len(done) == step:
            raise Killed
        done.append(source)
        rename(source, target)

    with serving_file(FILE.read_bytes()) as url:
        monkeypatch.setattr(durable, "rename", rename_or_die)
        killed = False
        try:
            start(at, url)
        except Killed:
            killed = True
        monkeypatch.setattr(durable, "rename", rename)
        assert killed == (step < 5)
        if not (at.data / "state").exists():  # without the options it is not begun anew
            with (
                pytest.raises(DataError, match="a recovery from a checkpoint was cut off"),
                prepared(at.config(), now_ns=NOW_NS),
            ):
                pass
        start(at, url, NOW_NS + 10**9)
    assert genesis(at.data / "state") == LAYER - 1
    assert not (at.data / "state.restored").exists() and not (at.data / "state.restored.store").exists()
    olds = list(at.data.glob("backup.*/state"))
    assert [genesis(path) for path in olds] == [2]
    assert start(at, url, NOW_NS + 2 * 10**9) == ()
