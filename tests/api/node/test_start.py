"""What is checked before a node runs. The reference's cases are in `tests.vector_cases.api_node_operation`; here is
what only ours refuses, and what comes of a start that is good."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from api.edge.errors import DataError, EnvironmentFault, UsageError
from api.node import data_directory, record
from api.node.identities import Mode
from api.node.start import Prepared, note_stores, prepared
from node.store.marker import marker_of
from protocol.crypto.signing import Domain, Signer, verify
from protocol.numbers.time import Time
from protocol.params.config.derived import Contradiction
from protocol.params.config.node import Config
from protocol.params.config.services import UNSET_TIME
from prover import durable
from tests.support.cli import as_ordinary_user, give_to_ordinary_user, public_folder
from tests.support.node_data import NOW_NS, NodeFolder


@pytest.fixture
def at(tmp_path: Path) -> NodeFolder:
    return NodeFolder(tmp_path)


def start(config: Config, mode: Mode | None = None) -> Prepared:
    with prepared(config, now_ns=NOW_NS, mode=mode) as found:
        return found


def refusal(config: Config, kind: type[Exception] = DataError, mode: Mode | None = None) -> str:
    with pytest.raises(kind) as caught:
        start(config, mode)
    return str(caught.value)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- what comes of it ----------------------------------------------------------------------------------------------


def test_everything_that_a_node_is_made_of(at: NodeFolder) -> None:
    found = start(at.config())
    assert found.data.path == at.data and found.config.main.data_folder == str(at.data)
    assert found.genesis == at.config().genesis.identity
    assert found.parameters.genesis_id == found.genesis.genesis_id
    assert found.config.certificate.certify_threshold == found.config.hare3.committee // 2 + 1
    (own,) = found.identities.all
    assert own.name == "local.key" and found.identities.mode is Mode.SUPERVISED
    signature = own.signer.sign(Domain.ATX, b"m")
    assert verify(Domain.ATX, own.node_id, b"m", signature, found.genesis.genesis_id)
    assert found.peer.text.startswith("12D3Koo")


def test_files_have_the_modes_of_the_original_and_keys_are_closed(at: NodeFolder) -> None:
    old = os.umask(0o022)
    try:
        start(at.config())
    finally:
        os.umask(old)
    assert [mode_of(path) for path in (at.data, at.keys, at.data / "p2p")] == [0o700] * 3
    assert mode_of(at.keys / "local.key") == mode_of(at.data / "p2p" / "p2p.key") == 0o600
    assert mode_of(at.data / "genesis.json") == 0o644
    assert (at.data / "genesis.json").read_text() == at.config().genesis.identity.file_content()


def test_a_second_start_finds_the_same(at: NodeFolder) -> None:
    first, second = start(at.config()), start(at.config())
    assert (first.genesis, first.peer.id) == (second.genesis, second.peer.id)
    assert [one.node_id for one in first.identities.all] == [one.node_id for one in second.identities.all]
    assert len(first.warnings) == 1 and "A new identity was made" in first.warnings[0]
    assert second.warnings == ()


def test_locks_end_with_the_context_even_after_a_refusal(at: NodeFolder) -> None:
    with prepared(at.config(), now_ns=NOW_NS):
        assert "is in use by smesher node, process" in refusal(at.config())
    refusal(at.config({"genesis": {"genesis-extra-data": "other"}}))
    start(at.config())


class Killed(BaseException):
    """Stands for a kill: nobody handles it."""


@pytest.mark.parametrize("step", range(5))
def test_a_kill_in_the_first_start_is_followed_by_a_good_one(
    at: NodeFolder, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The steps are the files that a first start writes: before each of them it is cut off."""
    written: list[Path] = []

    def dies(write: Callable[..., None]) -> Callable[..., None]:
        def maybe(path: Path, *more: object) -> None:
            if len(written) == step:
                raise Killed
            written.append(path)
            write(path, *more)

        return maybe

    with monkeypatch.context() as killed:
        killed.setattr(durable, "replace", dies(durable.replace))
        killed.setattr(durable, "create", dies(durable.create))
        if step < 4:
            with pytest.raises(Killed):
                start(unset(at))
        else:
            start(unset(at))
    kept = {path: path.read_bytes() for path in written}
    again = start(unset(at))
    assert {path: path.read_bytes() for path in written} == kept
    assert [path.name for path in written] == ["genesis.json", "local.key", "p2p.key", "node.json"][:step]
    assert len(again.identities.all) == 1


# -- the genesis time of a network of one --------------------------------------------------------------------------


def unset(at: NodeFolder) -> Config:
    config = at.config()
    return replace(config, genesis=replace(config.genesis, time=UNSET_TIME))


def test_a_network_of_one_begins_soon_and_keeps_its_time(at: NodeFolder) -> None:
    with prepared(unset(at), now_ns=NOW_NS + 1) as first:
        pass
    assert first.genesis.time == Time(NOW_NS // 10**9 + 1 + 5)
    with prepared(unset(at), now_ns=NOW_NS + 10**12) as second:
        pass
    assert second.genesis == first.genesis and second.config.genesis.time == first.genesis.time


def test_a_network_of_many_needs_a_time(at: NodeFolder) -> None:
    config = replace(unset(at), preset="fastnet", main=replace(unset(at).main, standalone=False))
    assert "genesis.genesis-time is not set" in refusal(config, UsageError)
    assert not at.data.exists()  # nothing is made for a configuration that cannot be


# -- what contradicts itself ---------------------------------------------------------------------------------------


def test_all_contradictions_are_told_at_once_and_nothing_is_touched(at: NodeFolder) -> None:
    config = at.config(
        {
            "hare-eligibility": {"eligibility-confidence-param": 8},
            "logging": {"hare": "loud"},
            "api": {"grpc-public-listener": "abc", "grpc-tls-listener": "127.0.0.1:1", "grpc-recv-msg-size": 0},
            "main": {"metrics": True, "metrics-port": 70000, "poet-servers": [{"address": "poet:1", "pubkey": "AA=="}]},
            "smeshing": {"smeshing-proving-opts": {"smeshing-opts-proving-randomx-mode": "quick"}},
            "p2p": {"p2p-reachability": "maybe", "discovery-timings": {"advertise-interval-spread": "3h"}},
        }
    )
    text = refusal(config, Contradiction)
    for words in (
        "eligibility-confidence-param is 8",
        "logging.hare: level 'loud'",
        "api.grpc-public-listener is 'abc'",
        "api.grpc-tls-listener is set, but not grpc-tls-ca-cert, grpc-tls-cert, grpc-tls-key",
        "api.grpc-recv-msg-size is 0",
        "main.metrics-port is 70000",
        "main.poet-servers[0].address is 'poet:1'",
        "main.poet-servers[0].pubkey has 1 bytes",
        "smeshing-opts-proving-randomx-mode is 'quick'",
        "p2p.p2p-reachability is 'maybe'",
        "advertise-interval-spread is longer",
    ):
        assert words in text
    assert not at.data.exists()


def test_a_listener_without_a_host_is_one_on_all_addresses(at: NodeFolder) -> None:
    start(at.config({"api": {"grpc-public-listener": ":9092", "grpc-private-listener": "[::1]:9093"}}))


def test_space_that_the_network_does_not_take_is_refused(at: NodeFolder) -> None:
    smeshing = at.config().smeshing
    opts = replace(smeshing.opts, numunits=99)
    coinbase = "standalone1qqqqqqp3qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqvqtwcg"
    config = replace(at.config(), smeshing=replace(smeshing, start=True, coinbase=coinbase, opts=opts))
    assert "smeshing-opts-numunits is 99, expected 1 to 2" in refusal(config, Contradiction)


# -- the data directory --------------------------------------------------------------------------------------------


def test_a_state_that_was_deleted_is_begun_anew_only_when_that_is_meant(at: NodeFolder) -> None:
    at.used()
    shutil.rmtree(at.data / "state")
    assert "delete" in refusal(at.config()) and "state.store" in refusal(at.config())
    marker_of(at.data / "state").unlink()
    (warning,) = start(at.config()).warnings
    assert "state was deleted together with state.store: it is begun anew" in warning


@pytest.mark.parametrize("gone", [("own",), ("own", "own.store"), ("own", "own.store", "state", "state.store")])
def test_what_was_signed_is_never_begun_anew_by_itself(at: NodeFolder, gone: tuple[str, ...]) -> None:
    at.used()
    for name in gone:
        path = at.data / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert "own is missing: it holds what the identities of this node have signed" in refusal(at.config())


def test_stores_that_do_not_belong_together(at: NodeFolder) -> None:
    at.used()
    (at.data / "node.json").unlink()
    shutil.rmtree(at.data / "own")
    (at.data / "own.store").unlink()
    assert "The two belong together" in refusal(at.config())


def test_stores_of_the_first_start_are_known_at_once(at: NodeFolder) -> None:
    with prepared(at.config(), now_ns=NOW_NS) as found:
        found.data.own.mkdir()
        note_stores(found)
        found.data.own.rmdir()
    assert "own is missing" in refusal(at.config())


def test_a_record_that_is_lost_or_damaged(at: NodeFolder) -> None:
    at.used()
    path = at.data / "node.json"
    kept = path.read_bytes()
    path.write_text('{"genesis_id": 5}')
    assert "node.json is damaged" in refusal(at.config())
    path.unlink()
    (warning,) = start(at.config()).warnings
    assert "node.json is missing and is written again" in warning
    assert path.read_bytes() == kept and start(at.config()).warnings == ()


def test_data_that_an_original_node_has_now_is_refused(at: NodeFolder) -> None:
    at.used()
    path = at.data / "node.json"
    kept = record.read(path)
    assert kept is not None
    record.write(path, replace(kept, handed_to="/mnt/theirs"))
    assert "was handed to the original node of /mnt/theirs" in refusal(at.config())
    record.write(path, kept)
    start(at.config())


def test_an_original_node_that_ran_after_ours_is_noticed(at: NodeFolder) -> None:
    at.used()
    (at.data / "local.sql-wal").touch()
    database = at.data / "local.sql"
    database.touch()
    for path in (at.data / "own", *(at.data / "own").iterdir()):
        os.utime(path, ns=(NOW_NS, NOW_NS))
    os.utime(at.data / "local.sql-wal", ns=(NOW_NS + 1, NOW_NS + 1))
    os.utime(database, ns=(NOW_NS - 1, NOW_NS - 1))
    assert "was written after" in refusal(at.config())
    os.utime(at.data / "local.sql-wal", ns=(NOW_NS - 1, NOW_NS - 1))
    start(at.config())


def test_no_room_and_little_room(at: NodeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    free = data_directory.LEAST_ROOM - 1
    total = shutil.disk_usage(at.path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: total._replace(free=free))
    assert "has 63 MiB left, expected at least 64" in refusal(at.config(), EnvironmentFault)
    free = data_directory.LITTLE_ROOM - 1
    assert any("only 2047 MiB left" in text for text in start(at.config()).warnings)


def test_others_who_may_write_are_told_of(at: NodeFolder) -> None:
    start(at.config())
    at.data.chmod(0o777)
    (at.keys / "local.key").chmod(0o644)
    first, second = start(at.config()).warnings
    assert "may be written by other users (mode 777)" in first and "chmod go-w" in first
    assert "local.key can be read by other users (mode 644)" in second and "chmod 600" in second


def test_a_directory_that_may_not_be_written_is_refused() -> None:
    with public_folder() as folder:
        closed = folder / "closed"
        closed.mkdir()
        give_to_ordinary_user(folder)
        closed.chmod(0o500)
        words = ("--preset", "standalone", "--data-folder", closed, "--filelock", folder / "LOCK")
        loaded = "api.cli.node.run, api.node.start, api.node.without"
        result = as_ordinary_user("node", *words, folder=folder, load=loaded)
        result.refused(1, "main.data-folder", "cannot be written", "permission denied")


# -- identities ----------------------------------------------------------------------------------------------------


def put(at: NodeFolder, **seeds: int) -> None:
    at.keys.mkdir(parents=True, exist_ok=True)
    for name, seed in seeds.items():
        (at.keys / f"{name}.key").write_text(Signer(bytes([seed]) * 32).identity_text())
        (at.keys / f"{name}.key").chmod(0o600)


def test_keys_are_taken_by_their_ending_and_nothing_else_is(at: NodeFolder) -> None:
    put(at, b=2, a=1)
    (at.keys / "notes.txt").write_text("x")
    (at.keys / "old.key").mkdir()
    found = start(at.config()).identities
    assert [one.name for one in found.all] == ["a.key", "b.key"] and found.mode is Mode.REMOTE
    assert repr(found).count("Signer") == 0


def test_a_key_that_is_missed_is_told_and_the_others_go_on(at: NodeFolder) -> None:
    put(at, a=1, b=2)
    start(at.config())
    (at.keys / "b.key").unlink()
    (warning,) = start(at.config()).warnings
    assert Signer(bytes([2]) * 32).public_key.hex() in warning and "(b.key)" in warning
    assert start(at.config()).warnings == ()  # said once


def test_a_deleted_key_may_be_replaced_on_purpose(at: NodeFolder) -> None:
    start(at.config())
    (at.keys / "local.key").unlink()
    assert "smesher identity new" in refusal(at.config())
    put(at, local=7)
    (warning,) = start(at.config()).warnings
    assert "it smeshes here no more" in warning


def test_a_key_file_may_be_renamed(at: NodeFolder) -> None:
    put(at, a=1)
    start(at.config())
    (at.keys / "a.key").rename(at.keys / "c.key")
    assert start(at.config()).warnings == ()


def test_how_it_smeshes_is_what_is_configured(at: NodeFolder) -> None:
    put(at, local=1)
    assert start(at.config()).identities.mode is Mode.SUPERVISED
    assert start(at.config(), Mode.REMOTE).identities.mode is Mode.REMOTE
    smeshing = {"smeshing-start": True, "smeshing-coinbase": "standalone1qqqqqqp3qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqvqtwcg"}
    assert "smeshing-mode is remote" in refusal(at.config({"smeshing": smeshing}), UsageError, Mode.REMOTE)
    (at.keys / "local.key").rename(at.keys / "a.key")
    assert start(at.config()).identities.mode is Mode.REMOTE
    assert start(at.config(), Mode.SUPERVISED).identities.mode is Mode.SUPERVISED
    assert start(at.config({"smeshing": smeshing})).identities.mode is Mode.SUPERVISED
    put(at, b=2)
    assert "smeshing-start is true, but there are 2 identities" in refusal(
        at.config({"smeshing": smeshing}), UsageError
    )
    assert "smeshing-mode is supervised" in refusal(at.config(), UsageError, Mode.SUPERVISED)
