"""`nonce`, scrypt N that nobody recorded, and `providers` from outside."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernels.devices import find
from protocol.post.rules import vrf_difficulty
from prover.post.init import scrypt_n
from prover.post.metadata import encode
from tests.api.cli.data.small_set import FILES, JOB, nonce_of, verify
from tests.support import cli
from tests.support.cli import NO_NONCE_IN_64, Job, smesher, snapshot

pytestmark = pytest.mark.usefixtures("compiled")


# == nonce =====================================================================================================


def lose_nonce(directory: Path, job: Job = JOB, **changes: Any) -> None:
    """Takes the nonce out of the metadata."""
    changed = replace(job.metadata(), **{"nonce": None, "nonce_value": None, **changes})
    cli.edit_metadata(directory, lambda text: encode(changed))


def test_a_lost_nonce_is_found_in_the_data(filled: Path) -> None:
    lose_nonce(filled)
    files = cli.data_files(filled)
    result = smesher("nonce", filled, "--json").ok()
    assert cli.metadata_text(filled) == encode(JOB.metadata())
    assert cli.data_files(filled) == files
    index, label = JOB.smallest()
    last = result.last
    assert (last["nonce"], last["nonce_value"], last["beyond_data"]) == (index, label[:16].hex(), False)
    lose_nonce(filled)
    smesher("nonce", filled).ok().refused(0, index, label[:16].hex())


def test_a_lost_nonce_is_found_by_init_too(filled: Path) -> None:
    lose_nonce(filled)
    JOB.init(filled).ok()
    assert cli.metadata_text(filled) == encode(JOB.metadata())


def test_a_nonce_that_is_not_the_smallest_is_replaced(filled: Path) -> None:
    difficulty, best = vrf_difficulty(500), JOB.smallest()[0]
    rows = [row.tobytes() for row in JOB.labels32()]
    other = next(at for at in range(500) if rows[at] < difficulty and at != best)
    lose_nonce(filled, nonce=other, nonce_value=rows[other][:16])
    smesher("nonce", filled).ok()
    assert nonce_of(filled) == best


@pytest.mark.parametrize("nonce", [0, 2**64 - 1, 10**15])
def test_a_nonce_that_is_not_valid_is_replaced(filled: Path, nonce: int) -> None:
    lose_nonce(filled, nonce=nonce, nonce_value=bytes(16))
    smesher("nonce", filled).ok()
    assert cli.metadata_text(filled) == encode(JOB.metadata())


def test_a_nonce_beyond_the_data(tmp_path: Path) -> None:
    job = Job(units=1, atx_id=NO_NONCE_IN_64)
    directory = job.make(tmp_path / "post")
    assert nonce_of(directory) is None
    result = smesher("nonce", directory, "--json").ok()
    index, label = job.smallest(64, 2**20)
    metadata = cli.metadata_of(directory)
    assert (metadata.nonce, metadata.nonce_value, metadata.last_position) == (index, label[:16], 64)
    assert (result.last["nonce"], result.last["beyond_data"]) == (index, True)
    assert cli.data_files(directory) == job.files()


def test_nonce_in_a_part_of_the_data(filled: Path) -> None:
    lose_nonce(filled)
    difficulty = vrf_difficulty(500)
    labels = [JOB.smallest(128 * number, min(128, 500 - 128 * number)) for number in range(FILES)]
    for number, (index, label) in enumerate(labels):
        lose_nonce(filled)
        result = smesher("nonce", filled, "--from-file", number, "--to-file", number, "--json")
        if label < difficulty:
            assert (result.code, result.last["nonce"], nonce_of(filled)) == (0, index, index)
        else:
            result.refused(1, "nonce")
            assert nonce_of(filled) is None and cli.metadata_of(filled).last_position is None
    # part by part the best of all stays
    lose_nonce(filled)
    for number in range(FILES):
        smesher("nonce", filled, "--from-file", number, "--to-file", number)
    assert cli.metadata_text(filled) == encode(JOB.metadata())
    smesher("nonce", filled, "--from-file", 4).refused(2, "--from-file")


def test_nonce_in_incomplete_data(filled: Path) -> None:
    lose_nonce(filled)
    os.truncate(filled / "postdata_1.bin", 1000)
    before = snapshot(filled)
    smesher("nonce", filled).refused(1, "postdata_1.bin", "init")
    assert {name: state for name, state in snapshot(filled).items() if name in before} == before
    (filled / "postdata_1.bin").unlink()
    result = smesher("nonce", filled)
    assert "postdata_1.bin" in result.text
    assert cli.metadata_of(filled).last_position is None, "what is missing may hold the nonce"


def test_wrong_labels_are_no_nonce(filled: Path) -> None:
    lose_nonce(filled)
    with (filled / "postdata_1.bin").open("r+b") as file:
        file.seek(160)
        file.write(bytes(16))
    result = smesher("nonce", filled).ok()
    result.refused(0, "postdata_1.bin", "byte offset 160", "verify")
    index, _ = JOB.smallest()
    assert nonce_of(filled) == index


# == scrypt N ==================================================================================================


@pytest.mark.parametrize("n", [2, 16, 8192])
@pytest.mark.parametrize("command", ["verify", "repair", "nonce"])
def test_scrypt_n_is_found_without_record(tmp_path: Path, n: int, command: str) -> None:
    job = Job(units=2, scrypt_n=n)
    directory = job.make(tmp_path / "post", record=False)
    if command == "nonce":
        lose_nonce(directory, job)
    result = smesher(command, directory).ok()
    assert str(n) in cli.words_of(result.text), result.text
    assert cli.metadata_text(directory) == encode(job.metadata())


@pytest.mark.parametrize("n", [2, 16, 8192])
def test_scrypt_n_is_found_with_damaged_labels(tmp_path: Path, n: int) -> None:
    job = Job(units=2, scrypt_n=n)
    directory = job.make(tmp_path / "post", record=False)
    wanted = scrypt_n.SAMPLES
    # all samples but one are wrong
    positions = sorted({128 * part // wanted for part in range(wanted)} | {127})
    for position in positions[:2] + positions[3:]:
        cli.damage(directory, f"postdata_{position // 64}.bin", position % 64)
    result = verify(directory, "--fraction", 100)
    assert result.code == 1
    assert result.last["scrypt_n"] == n
    assert result.last["bad_labels"] == len(positions) - 1
    smesher("repair", directory).ok()
    assert cli.data_files(directory) == job.files()


def test_scrypt_n_cannot_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrypt_n, "CANDIDATES", (8192, 2, 4, 8))  # trying 2^20 takes seconds
    job = Job(units=2)
    directory = job.make(tmp_path / "post", record=False)
    for name in job.files():
        cli.damage(directory, name, *range(64))
    smesher("verify", directory).refused(1, "scrypt N", "--scrypt-n", "--network")
    # with the option all labels are known to be wrong
    result = verify(directory, "--fraction", 100, "--scrypt-n", 2)
    assert (result.code, result.last["bad_labels"]) == (1, 128)
    # but not without a word: it may be the data of somebody else
    smesher("repair", directory, "--scrypt-n", 2).refused(1, "other data", "--yes")
    smesher("repair", directory, "--scrypt-n", 2, "--yes").ok()
    assert cli.data_files(directory) == job.files()


@pytest.mark.parametrize("record", [True, False], ids=["recorded", "found"])
@pytest.mark.parametrize("command", ["verify", "repair", "nonce"])
@pytest.mark.parametrize("option", [["--scrypt-n", 16], ["--network", "mainnet"]])
def test_another_scrypt_n_than_recorded_or_found(
    tmp_path: Path, record: bool, command: str, option: list[object]
) -> None:
    job = Job(units=2)
    directory = job.make(tmp_path / "post", record=record)
    before = snapshot(directory)
    asked = 16 if option[0] == "--scrypt-n" else 8192
    smesher(command, directory, *option).refused(2, "scrypt N", 2, asked)
    assert snapshot(directory) == before


@pytest.mark.parametrize("command", ["verify", "repair", "nonce"])
def test_the_same_scrypt_n_as_recorded_or_found(tmp_path: Path, command: str) -> None:
    job = Job(units=2)
    for record in (True, False):
        directory = job.make(tmp_path / str(record), record=record)
        smesher(command, directory, "--network", "fastnet").ok()
        smesher(command, directory, "--scrypt-n", 2).ok()
    smesher(command, directory, "--scrypt-n", 3).refused(2, "power of two")
    smesher(command, directory, "--network", "moon").refused(2, "moon")


@pytest.mark.parametrize("text", ["", "{}", '{"ScryptN": "2"}', '{"ScryptN": 3}'])
@pytest.mark.parametrize("writing", ["nonce", "init"])
def test_a_broken_record_stops_nobody(filled: Path, text: str, writing: str) -> None:
    """All that it says can be found out; who writes a new one keeps it."""
    (filled / "smesher.json").write_text(text)
    before = snapshot(filled)
    for command in ("info", "verify", "repair"):
        smesher(command, filled).ok().refused(0, "smesher.json cannot be read", "deleted")
    assert snapshot(filled) == before
    done = smesher("nonce", filled) if writing == "nonce" else JOB.init(filled)
    done.ok().refused(0, "smesher.json.damaged")
    assert (filled / "smesher.json.damaged").read_text() == text
    assert smesher("info", filled, "--json").ok().last["scrypt_n"] == JOB.scrypt_n


# == providers =================================================================================================


def test_providers_json_is_one_object_a_line_for_each_provider() -> None:
    result = smesher("providers", "--json").ok()
    found = result.named("provider")
    assert [one["id"] for one in found] == [one.id for one in find.devices()]
    for one in found:
        assert {"name", "class", "memory_bytes", "driver"} <= one.keys()
        assert one["name"].startswith(f"[{one['class']}] ")
        assert one["memory_bytes"] > 0
    processor = found[-1]
    assert (processor["id"], processor["class"]) == (4294967295, "CPU")
    for missing in result.named("passed_over"):
        assert missing["what"] and missing["reason"]
    assert len(found) + len(result.named("passed_over")) == len(result.events)


def test_providers_for_people() -> None:
    text = smesher("providers").ok().text
    assert "4294967295" in text and "CPU" in text
    for missing in find.passed_over():
        assert missing.what in text


def test_providers_benchmark() -> None:
    result = smesher("providers", "--benchmark", "--seconds", 0.2, "--json").ok()
    assert all(one["labels_per_second"] > 0 for one in result.named("provider"))
    smesher("providers", "--benchmark", "--seconds", 0).refused(2, "--seconds")
