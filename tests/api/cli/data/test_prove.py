"""`smesher prove`: every option, good and bad input, and data that is not as it should be."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from api.cli import proofs
from api.cli.data import prove as command
from api.cli.main import main
from kernels import randomx
from prover.errors import EnvironmentFault
from prover.post import directory as storage
from prover.post.directory import Storage
from prover.post.proof import job as proof_job
from prover.post.proof import prove as proving
from prover.post.proof import scan
from tests.support.cli import Job, damage, edit_metadata, small_disk, smesher, snapshot
from tests.support.proving import CHALLENGE, JOB, NO_HASH, RULES, has_memory, kept_randomx, prove, verify_proof

__all__ = ["kept_randomx"]

pytestmark = pytest.mark.usefixtures("kept_randomx")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return JOB.make(tmp_path / "data")


def proof_in(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "proof.json").read_text())
    return found


# -- what it does ---------------------------------------------------------------------------------------------


def test_a_proof_is_made_checked_and_written(data: Path, tmp_path: Path) -> None:
    before = snapshot(data)
    result = prove(data).ok()
    assert "done" in result.out and "all 4 labels checked" in result.out
    assert snapshot(data) == before, "nothing stays beside the data"
    assert json.loads((tmp_path / "metadata.json").read_text()) == {
        "node_id": "ERERERERERERERERERERERERERERERERERERERERERE=",
        "commitment_atx_id": "IiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiI=",
        "challenge": "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=",
        "num_units": 4,
    }
    assert set(proof_in(tmp_path)) == {"nonce", "indices", "pow"}
    verify_proof(tmp_path).ok()


def test_the_event_of_the_end(data: Path, tmp_path: Path) -> None:
    done = prove(data, "--json").ok().last
    assert done["event"] == "done" and done["labels"] == 256 and done["weakened"] == []
    assert (done["nonce"], done["pow"]) == (proof_in(tmp_path)["nonce"], proof_in(tmp_path)["pow"])
    assert done["proof"] == str(tmp_path / "proof.json") and done["metadata"] == str(tmp_path / "metadata.json")
    assert len(bytes.fromhex(done["indices"])) == 5  # 4 indices of 9 bits
    assert done["seconds"] > 0


@pytest.mark.parametrize(
    "more", [["--threads", 1], ["--threads", 3], ["--threads", 1, "--pin"], ["--randomx-mode", "light"]]
)
def test_the_proof_is_the_same_whatever_the_threads(data: Path, tmp_path: Path, more: list[object]) -> None:
    prove(data).ok()
    prove(data, *more, out=tmp_path / "again").ok()
    assert proof_in(tmp_path / "again") == proof_in(tmp_path)


def test_it_goes_to_the_current_folder_unless_told(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    smesher("prove", data, "--challenge", f"0x{CHALLENGE}", "--nonces", 16, *RULES).ok()
    assert sorted(path.name for path in here.iterdir()) == ["metadata.json", "proof.json"]


def test_a_network_brings_its_parameters(tmp_path: Path) -> None:
    data = Job(units=2, labels_per_unit=128).make(tmp_path / "data")
    smesher("prove", data, "--challenge", "00" * 32, "--network", "fastnet", "--out", tmp_path).ok()
    words = ["--proof", tmp_path / "proof.json", "--metadata", tmp_path / "metadata.json", "--network", "fastnet"]
    smesher("verify-proof", *words).ok()


def test_more_nonces_and_groups(data: Path, tmp_path: Path) -> None:
    prove(data, "--nonces", 64).ok()
    verify_proof(tmp_path).ok()


def test_the_right_identity_is_accepted(data: Path) -> None:
    words = ["--node-id", JOB.node_id, "--commitment-atx-id", f"0x{JOB.atx_id}", "--labels-per-unit", 64]
    prove(data, *words).ok()


def test_fast_mode_asks_for_the_data_set_and_light_does_not(data: Path, kept_randomx: list[bool]) -> None:
    prove(data, "--randomx-mode", "light").ok()
    assert not any(kept_randomx)
    kept_randomx.clear()
    if randomx.available_memory() < randomx.memory_needed(full=True):
        pytest.skip("NOT CHECKED: there is no memory for the data set")
    prove(data, "--randomx-mode", "fast").ok()
    assert kept_randomx[0]


def test_data_of_another_network_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.proofs, "compile_kernels", interrupted)
    words = ["prove", data, "--challenge", CHALLENGE, "--network", "testnet", "--out", data.parent]
    assert "The data has 64 labels per unit, testnet has 1024" in smesher(*words).refused(130).text
    assert "mainnet has 4294967296" in smesher(*words[:4], "--out", data.parent).refused(130).text
    edit_metadata(data, lambda text: text.replace('"LabelsPerUnit": 64', '"LabelsPerUnit": 1024'))
    edit_metadata(data, lambda text: text.replace('"NumUnits": 4', '"NumUnits": 1'))
    assert "testnet accepts 2 to" in smesher(*words, "--allow-incomplete").refused(130).text


# -- bad input ------------------------------------------------------------------------------------------------


def words_of(data: Path, *more: object) -> list[object]:
    return ["prove", data, "--challenge", CHALLENGE, "--nonces", 16, *RULES, "--out", data.parent, *more]


@pytest.mark.parametrize(
    ("more", "facts"),
    [
        (["--challenge", "ab" * 31], ["--challenge", 62, 64]),
        (["--challenge", "ab" * 33], ["--challenge", 66, 64]),
        (["--challenge", ""], ["--challenge", "''", 64]),
        (["--challenge", "zz" * 32], ["--challenge", "hex"]),
        (["--node-id", "33" * 32], ["--node-id", "33" * 32, JOB.node_id]),
        (["--node-id", "33"], ["--node-id", 2, 64]),
        (["--commitment-atx-id", "33" * 32], ["--commitment-atx-id", "33" * 32, JOB.atx_id]),
        (["--labels-per-unit", 128], ["--labels-per-unit", 64, 128]),
        (["--nonces", 0], ["nonces", 0, 16]),
        (["--nonces", 15], ["nonces", 15, 16]),
        (["--nonces", 4112], ["nonces", 4112, 4096]),
        (["--nonces", "x"], ["--nonces", "whole number"]),
        (["--threads", 0], ["--threads", 0]),
        (["--threads", 4000, "--pin"], [4000, "processors"]),
        (["--network", "nonet"], ["nonet", "mainnet"]),
        (["--k1", 0], ["--k1", 0]),
        (["--k1", 256], ["256 labels", "K1 = 256"]),
        (["--k2", 0], ["--k2", 0]),
        (["--pow-difficulty", "ff"], ["--pow-difficulty", 2, 64]),
        (["--pow-difficulty", "q" * 64], ["--pow-difficulty", "hex"]),
        (["--scrypt-n", 3], ["scrypt N", 3, "power of two"]),
        (["--scrypt-n", 4], ["scrypt N", 2, 4]),
        (["--randomx-mode", "medium"], ["--randomx-mode", "medium", "fast"]),
        (["--surprise"], ["--surprise"]),
    ],
)
def test_bad_options_are_usage_errors(data: Path, more: list[object], facts: list[object]) -> None:
    before = snapshot(data)
    smesher(*words_of(data, *more)).refused(2, *facts)
    assert snapshot(data) == before
    last = smesher(*words_of(data, *more), "--json").refused(2, *facts).last
    assert last["event"] == "error" and last["code"] == 2


def test_a_challenge_is_needed(data: Path) -> None:
    smesher("prove", data).refused(2, "--challenge")


def test_directories_that_are_none(tmp_path: Path) -> None:
    prove(tmp_path / "nothing").refused(2, "does not exist")
    (tmp_path / "file").write_text("")
    prove(tmp_path / "file").refused(2, "is not a directory")
    (tmp_path / "empty").mkdir()
    prove(tmp_path / "empty").refused(1, "postdata_metadata.json")
    (tmp_path / "empty" / "postdata_metadata.json").write_text("{")
    prove(tmp_path / "empty").refused(1, "postdata_metadata.json")


def test_a_target_that_cannot_be_written_is_told_before_the_work(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = prove(data, out=tmp_path / "file" / "out").refused(3, tmp_path / "file")
    assert "RandomX" not in result.text


# -- data that is not as it should be ---------------------------------------------------------------------------


def test_incomplete_data_is_refused_by_name(data: Path, tmp_path: Path) -> None:
    (data / "postdata_1.bin").unlink()
    with (data / "postdata_3.bin").open("r+b") as file:
        file.truncate(500)
    prove(data).refused(1, "postdata_1.bin is missing", "postdata_3.bin has 500 of 1024 bytes", "--allow-incomplete")
    result = prove(data, "--allow-incomplete").ok()
    assert "postdata_1.bin is missing" in result.err and "weaker" in result.err
    verify_proof(tmp_path).ok()


def test_of_many_missing_files_some_are_named(tmp_path: Path) -> None:
    data = Job(units=16, labels_per_unit=64).make(tmp_path / "data")
    for number in range(2, 11):
        (data / f"postdata_{number}.bin").unlink()
    prove(data).refused(1, "postdata_2.bin is missing", "postdata_6.bin is missing", "and 4 more")


def test_data_without_a_right_label_is_refused_before_the_pass(data: Path, tmp_path: Path) -> None:
    for number in range(4):
        damage(data, f"postdata_{number}.bin", *range(64))
    result = prove(data).refused(1, "None of the labels", "smesher verify")
    assert "repair" not in result.text, "it may be the data of somebody else"
    assert not (tmp_path / "proof.json").exists() and not (data / proving.STATE_NAME).exists()


def test_wrong_labels_are_left_out_and_named(data: Path, tmp_path: Path) -> None:
    damage(data, "postdata_1.bin", *range(64))
    result = prove(data, "--json")
    wrong = result.last.get("wrong_labels", [])
    if result.code == 0:
        verify_proof(tmp_path).ok()
        assert all(64 <= index < 128 for index in wrong)
    notes = " ".join(event["message"] for event in result.named("note"))
    assert not wrong or ("left out" in notes and "postdata_1.bin at byte offset" in notes)


def test_no_proof_where_too_few_labels_are_good(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_job.Search, "run", lambda self: 0)
    prove(data, "--k2", 200, "--nonces", 4096).refused(1, "No proof was found", "smesher verify")


def faulty_reads(monkeypatch: pytest.MonkeyPatch, name: str, from_offset: int) -> None:
    """Reads of one file end with an input/output error from an offset on."""
    real = storage._read_buffered

    def read(path: Path, offset: int, view: memoryview) -> int:
        if path.name == name and offset >= from_offset:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, offset, view)

    monkeypatch.setattr(storage, "DIRECT", False)
    monkeypatch.setattr(storage, "_read_buffered", read)
    monkeypatch.setattr(scan, "BATCH_BYTES", 256)


def test_a_read_error_is_named_and_the_proof_marked_as_weakened(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove(data).ok()
    first = proof_in(tmp_path)
    faulty_reads(monkeypatch, "postdata_0.bin", 0)
    done = prove(data, "--json").ok().last
    (sentence,) = done["weakened"]
    assert "postdata_0.bin" in sentence and "input/output error" in sentence and "is skipped" in sentence
    assert proof_in(tmp_path) != first
    verify_proof(tmp_path).ok()
    result = prove(data).ok()
    assert sentence in " ".join(result.err.split()) and "could not be read" in result.out


def test_a_missing_randomx_library_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomx, "_candidates", list)
    randomx.library.cache_clear()
    try:
        prove(data).refused(3, "pip install cyrx")
    finally:
        randomx.library.cache_clear()


def test_too_little_memory_for_the_data_set(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has_memory(monkeypatch, 1 << 30)
    result = prove(data).ok()
    assert "needs 2336 MiB, 1024 MiB are available; using light mode" in " ".join(result.err.split())
    verify_proof(tmp_path).ok()
    prove(data, "--randomx-mode", "fast").refused(3, "2336 MiB", "1024 MiB", "light")
    prove(data, "--randomx-mode", "light").ok()


def test_memory_that_is_gone_when_it_is_needed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There was room for the data set when the command began, and none when it was to be built."""
    real = proofs.randomx.Memory

    def shrinking(key: bytes, *, full: bool = False, **more: object) -> object:
        if full:
            raise randomx.MemoryShortage(3 << 30, 1 << 30, "RandomX in fast mode")
        return real(key, full=full, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(proofs.randomx, "Memory", shrinking)
    has_memory(monkeypatch, 1 << 40)
    assert "using light mode" in prove(data).ok().err
    prove(data, "--randomx-mode", "fast").refused(3, "3,072 MiB", "1,024 MiB")


def test_too_little_memory_for_light_mode(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> object:
        raise randomx.MemoryShortage(1 << 28, 1 << 20, "RandomX in light mode")

    monkeypatch.setattr(proofs.randomx, "Memory", none)
    prove(data, "--randomx-mode", "light").refused(3, "256 MiB", "1 MiB")


# -- the saved pass ---------------------------------------------------------------------------------------------


def test_a_pass_over_read_only_data_is_saved_in_the_users_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[Path] = []
    real = Storage.replace

    def replace(self: Storage, name: str, content: bytes) -> None:
        saved.append(self.path / name)
        real(self, name, content)

    monkeypatch.setattr(Storage, "replace", replace)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with small_disk(1 << 20) as (disk, remount):
        for path in data.iterdir():
            (disk / path.name).write_bytes(path.read_bytes())
        remount("ro")
        prove(disk, out=tmp_path).ok()
    states = {path for path in saved if path.parent != tmp_path}
    assert {path.parent for path in states} == {tmp_path / "state" / "smesher"}
    assert list((tmp_path / "state" / "smesher").iterdir()) == [], "nothing stays when the proof is written"
    verify_proof(tmp_path).ok()


def test_where_a_pass_is_saved(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from api.cli.data.dataset import open_data

    opened = open_data(data)
    assert command.state_file(opened) == data / proving.STATE_NAME
    monkeypatch.setattr(command.os, "access", lambda *_: False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    first = command.state_file(opened)
    assert first.parent == tmp_path / "state" / "smesher" and first.parent.stat().st_mode & 0o777 == 0o700
    other = command.state_file(open_data(JOB.make(tmp_path / "other")))
    assert other.parent == first.parent and other != first
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert command.state_file(opened).parent == tmp_path / "file" / "smesher"


def test_a_pass_that_cannot_be_saved_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Storage.replace

    def replace(self: Storage, name: str, content: bytes) -> None:
        if name == proving.STATE_NAME:
            raise EnvironmentFault(f"Cannot write {self.path / name}: the disk is full.")
        real(self, name, content)

    monkeypatch.setattr(Storage, "replace", replace)
    result = prove(data).ok()
    assert result.err.count("the disk is full") == 1 and "goes on" in result.err
    verify_proof(tmp_path).ok()


@pytest.mark.parametrize("content", ["no json", "{}", "[]", '{"Key": 1}'])
def test_a_saved_pass_that_cannot_be_read(data: Path, tmp_path: Path, content: str) -> None:
    (data / proving.STATE_NAME).write_text(content)
    prove(data).ok()
    verify_proof(tmp_path).ok()


def test_proofs_of_work_of_another_difficulty_are_not_used(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass is broken off after its proof of work, and goes on with the network's difficulty changed, or not."""
    searches: list[object] = []
    real = proof_job.Search.run
    monkeypatch.setattr(proof_job.Search, "run", lambda self: (searches.append(self), real(self))[1])

    def broken_off() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(proving.Scan, "in_order", interrupted)
            assert prove(data).code == 130
        assert (data / proving.STATE_NAME).exists()
        searches.clear()

    broken_off()
    prove(data).ok()
    assert not searches
    broken_off()
    prove(data, "--pow-difficulty", "f0" * 32).ok()
    assert len(searches) == 1
    verify_proof(tmp_path, "--pow-difficulty", "f0" * 32).ok()


def interrupted(*_: object) -> object:
    raise KeyboardInterrupt


def test_an_interrupt_while_nothing_can_be_stopped(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.dataset, "scrypt_n_of", interrupted)
    prove(data).refused(130, "interrupted")


def test_an_endless_search_is_not_begun_for_bad_input(data: Path) -> None:
    """Everything is looked at before the first hash."""
    (data / "postdata_2.bin").unlink()
    assert main(["prove", str(data), "--challenge", CHALLENGE, *RULES, "--pow-difficulty", NO_HASH]) == 1
