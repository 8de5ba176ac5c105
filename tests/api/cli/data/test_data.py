"""`info` and `verify` from outside, on small sets whose right bytes are known; and what `repair` shares with them."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from prover.post import findings
from prover.post.metadata import encode
from tests.api.cli.data.small_set import FILES, FINDINGS, JOB, bad_labels, findings_of, verify
from tests.support import cli
from tests.support.cli import ATX_ID, NODE_ID, Job, smesher, snapshot
from tests.vector_cases.harness import Context

pytestmark = pytest.mark.usefixtures("compiled")


# == info ======================================================================================================


def test_info_on_complete_data(filled: Path) -> None:
    before = snapshot(filled)
    said = smesher("info", filled, "--json").ok().last
    metadata = JOB.metadata()
    assert metadata.nonce_value is not None
    expected = {
        "event": "done",
        "node_id": NODE_ID,
        "commitment_atx_id": ATX_ID,
        "labels_per_unit": 100,
        "num_units": 5,
        "max_file_size": 2048,
        "scrypt_n": 2,
        "nonce": metadata.nonce,
        "nonce_value": metadata.nonce_value.hex(),
        "last_position": None,
        "labels": 500,
        "total_labels": 500,
        "bytes": 8000,
        "total_bytes": 8000,
        "status": "completed",
        "complete": True,
        "files": FILES,
        "incomplete_files": [],
        "surplus_files": [],
        "problems": [],
    }
    assert {key: said[key] for key in expected} == expected
    smesher("info", filled).ok().refused(0, NODE_ID, ATX_ID, "500", metadata.nonce, "complete")
    assert snapshot(filled) == before


def test_info_says_what_is_missing(filled: Path) -> None:
    os.truncate(filled / "postdata_1.bin", 165)
    (filled / "postdata_3.bin").unlink()
    with (filled / "postdata_2.bin").open("ab") as file:
        file.write(b"surplus")
    (filled / "postdata_9.bin").write_bytes(bytes(32))
    (filled / "postdata_001.bin").write_bytes(bytes(32))
    said = smesher("info", filled, "--json").ok().last
    assert said["labels"] == 128 + 10 + 128
    assert (said["complete"], said["status"]) == (False, "started")
    assert said["incomplete_files"] == [
        {"file": "postdata_1.bin", "bytes": 165, "expected": 2048},
        {"file": "postdata_3.bin", "bytes": 0, "expected": 116 * 16},
    ]
    assert said["surplus_files"] == [
        {"file": "postdata_2.bin", "bytes": 2055, "expected": 2048},
        {"file": "postdata_9.bin", "bytes": 32, "expected": 0},
    ]
    text = smesher("info", filled).ok().text
    for fact in ("postdata_1.bin", "postdata_3.bin", "postdata_2.bin", "postdata_9.bin", "postdata_001.bin", "init"):
        assert fact in text


def test_info_names_what_does_not_fit(filled: Path) -> None:
    (filled / "identity.key").write_text("no key at all")
    cli.damage(filled, "postdata_0.bin", 5)
    verify(filled, "--fraction", 100)
    cli.edit_metadata(filled, lambda text: encode(replace(JOB.metadata(), nonce_value=b"\xff" * 16)))
    result = smesher("info", filled, "--json")
    assert result.code == 1, "the nonce is told by the exit code, too"
    problems = " ".join(result.last["problems"])
    assert "identity.key" in problems
    assert FINDINGS in problems and "repair" in problems
    assert "nonce" in problems


def test_info_without_record(tmp_path: Path) -> None:
    directory = JOB.make(tmp_path / "post", record=False)
    assert smesher("info", directory, "--json").ok().last["scrypt_n"] is None
    smesher("info", directory).ok().refused(0, "not recorded")


@pytest.mark.parametrize("command", ["info", "verify", "repair", "nonce"])
def test_directories_that_are_none(tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    smesher(command, tmp_path / "absent").refused(2, tmp_path / "absent")
    smesher(command, tmp_path / "file").refused(2, tmp_path / "file", "directory")
    smesher(command, tmp_path / "empty").refused(1, tmp_path / "empty", "postdata_metadata.json")
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("changes", [{"num_units": 0}, {"labels_per_unit": 0}, {"max_file_size": 0}])
def test_metadata_that_describes_no_data(filled: Path, changes: dict[str, int]) -> None:
    cli.edit_metadata(filled, lambda text: encode(replace(JOB.metadata(), **changes)))
    for command in ("info", "verify", "repair", "nonce"):
        smesher(command, filled).refused(1, filled / "postdata_metadata.json")


# == verify ====================================================================================================


def test_verify_finds_nothing_wrong(filled: Path) -> None:
    before = snapshot(filled)
    last = verify(filled).ok().last
    # 0.2 % would be none, so one label of each file
    assert (last["event"], last["valid"], last["labels"], last["files"]) == ("done", True, FILES, FILES)
    assert verify(filled, "--fraction", 100).ok().last["labels"] == 500
    assert verify(filled, "--fraction", "50%").ok().last["labels"] == 64 * 3 + 58
    smesher("verify", filled).ok().refused(0, "ok", "seed")
    assert snapshot(filled) == before


def test_verify_names_each_bad_label_with_file_and_byte_offset(filled: Path) -> None:
    cli.damage(filled, "postdata_0.bin", 0)
    cli.damage(filled, "postdata_1.bin", 5, 77, 127)
    cli.damage(filled, "postdata_3.bin", 115)
    expected = [
        ("postdata_0.bin", 0),
        ("postdata_1.bin", 80),
        ("postdata_1.bin", 77 * 16),
        ("postdata_1.bin", 127 * 16),
        ("postdata_3.bin", 115 * 16),
    ]
    result = verify(filled, "--fraction", 100)
    assert result.code == 1
    assert bad_labels(result) == expected
    assert findings_of(filled) == expected
    assert (result.last["valid"], result.last["bad_labels"], result.last["labels"]) == (False, 5, 500)
    third = result.named("bad_label")[2]
    right = JOB.labels32(128 + 77, 1)[0, :16].tobytes()
    assert third["index"] == 128 + 77 and third["expected"] == right.hex()
    assert third["found"] == bytes(byte ^ 0x5A for byte in right).hex()
    text = smesher("verify", filled, "--fraction", 100)
    text.refused(1, *(f"{name} byte offset {offset}" for name, offset in expected), right.hex(), "smesher repair")


def test_verify_looks_at_one_label_a_file_at_least(filled: Path) -> None:
    for number in range(FILES):
        cli.damage(filled, f"postdata_{number}.bin", *range(116))
    result = verify(filled, "--fraction", 0, "--seed", 1)
    assert result.code == 1
    assert result.last["labels"] == FILES
    # all but a few labels of each file are wrong
    assert len(bad_labels(result)) >= 2


def test_verify_repeats_a_sample_by_its_seed(filled: Path) -> None:
    for number in range(FILES):
        cli.damage(filled, f"postdata_{number}.bin", *range(116))
    first = verify(filled, "--fraction", 10, "--seed", 12345)
    assert first.last["seed"] == 12345
    assert bad_labels(verify(filled, "--fraction", 10, "--seed", 12345)) == bad_labels(first)
    assert bad_labels(verify(filled, "--fraction", 10, "--seed", 12346)) != bad_labels(first)
    unseeded = verify(filled, "--fraction", 10)
    again = verify(filled, "--fraction", 10, "--seed", unseeded.last["seed"])
    assert bad_labels(again) == bad_labels(unseeded)
    # the sample of a file does not depend on which others are looked at
    part = verify(filled, "--fraction", 10, "--seed", 12345, "--from-file", 2, "--to-file", 2)
    assert bad_labels(part) == [bad for bad in bad_labels(first) if bad[0] == "postdata_2.bin"]
    assert len(set(bad_labels(first))) == len(bad_labels(first))


def test_verify_from_file_and_to_file(filled: Path) -> None:
    cli.damage(filled, "postdata_1.bin", 3)
    for words, code in (
        (["--from-file", 0, "--to-file", 0], 0),
        (["--from-file", 2], 0),
        (["--to-file", 1], 1),
        (["--from-file", 1, "--to-file", 1], 1),
    ):
        assert verify(filled, "--fraction", 100, *words).code == code, words
    for words in (["--from-file", 4], ["--to-file", 4], ["--from-file", 2, "--to-file", 1], ["--from-file", -1]):
        smesher("verify", filled, *words).refused(2, words[0], words[1])


@pytest.mark.parametrize("size", [None, 0, 7, 2047])
@pytest.mark.parametrize("name", ["postdata_0.bin", "postdata_2.bin"])
def test_verify_names_files_that_are_missing_or_short(filled: Path, name: str, size: int | None) -> None:
    if size is None:
        (filled / name).unlink()
    else:
        os.truncate(filled / name, size)
    result = verify(filled)
    assert result.code == 1
    assert result.named("bad_file") == [
        {"event": "bad_file", "file": name, "bytes": size, "expected": 2048},
    ]
    smesher("verify", filled).refused(1, name, "missing" if size is None else f"{size} bytes", 2048, "init")
    others = range(1, 4) if name == "postdata_0.bin" else range(2)
    assert verify(filled, "--from-file", others.start, "--to-file", others.stop - 1).code == 0


def test_verify_without_any_data(filled: Path) -> None:
    for path in filled.glob("*.bin"):
        path.unlink()
    result = verify(filled)
    assert result.code == 1 and len(result.named("bad_file")) == FILES


def test_verify_looks_at_what_there_is_of_a_short_file(filled: Path) -> None:
    os.truncate(filled / "postdata_1.bin", 1000)
    cli.damage(filled, "postdata_1.bin", 3)
    result = verify(filled, "--fraction", 100)
    assert result.code == 1
    assert bad_labels(result) == [("postdata_1.bin", 48)]
    assert result.last["labels"] == 500 - 128 + 62


def test_verify_does_not_mind_surplus(filled: Path) -> None:
    with (filled / "postdata_1.bin").open("ab") as file:
        file.write(bytes(100))
    smesher("verify", filled).ok().refused(0, "postdata_1.bin", "2148 bytes")


def test_verify_in_a_read_only_directory() -> None:
    with cli.small_disk(1 << 20) as (disk, again):
        directory = JOB.make(disk / "post")
        cli.damage(directory, "postdata_1.bin", 3)
        again("ro")
        result = verify(directory, "--fraction", 100)
        assert result.code == 1
        assert bad_labels(result) == [("postdata_1.bin", 48)]
        assert "read-only" in " ".join(event["message"] for event in result.named("note"))
        smesher("info", directory).ok()
        smesher("repair", directory).refused(3, "read-only")
        smesher("nonce", directory).refused(3, "read-only")


def test_verify_of_everything_clears_old_findings(filled: Path) -> None:
    whole = (filled / "postdata_1.bin").read_bytes()
    cli.damage(filled, "postdata_1.bin", 3)
    assert verify(filled, "--fraction", 100).code == 1
    (filled / "postdata_1.bin").write_bytes(whole)
    assert smesher("info", filled, "--json").ok().last["problems"] == [], "other bytes stand where it was found"
    assert verify(filled).code == 0
    assert not (filled / FINDINGS).exists()


def test_verify_data_of_another_identity(filled: Path) -> None:
    for name, content in replace(JOB, atx_id="44" * 32).files().items():
        (filled / name).write_bytes(content)
    result = verify(filled, "--fraction", 100)
    assert result.code == 1
    assert result.last["bad_labels"] == 500


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["verify", "repair"])
def test_stopping_a_check(tmp_path: Path, command: str, number: signal.Signals) -> None:
    job = Job(units=1, labels_per_unit=2**15, max_file_size=2**19, scrypt_n=8192)
    directory = replace(job, labels_per_unit=64).make(tmp_path / "post")
    cli.edit_metadata(directory, lambda text: text.replace('"LabelsPerUnit": 64', '"LabelsPerUnit": 32768'))
    with (directory / "postdata_0.bin").open("ab") as file:
        file.write(bytes(2**19 - 1024))  # wrong labels take as long as right ones
    child = cli.start(command, directory, *(["--fraction", "100"] if command == "verify" else []), "--json")
    try:
        assert child.stdout is not None
        while '"progress"' not in child.stdout.readline():
            assert child.poll() is None
        sent = time.monotonic()
        child.send_signal(number)
        result = cli.finish(child, timeout=30)
    finally:
        child.kill()
    assert time.monotonic() - sent < 5
    assert result.code == 130, result.text
    assert (result.last["event"], result.last["code"]) == ("error", 130)
    assert not (directory / "smesher.lock").exists()


# == data of the reference's programs ==========================================================================


@pytest.mark.parametrize("name", ["eight_files_n2", "n8192_two_files", "n128_three_units", "odd_tail_n2"])
def test_data_made_by_the_reference(tmp_path: Path, vectors_root: Path, name: str) -> None:
    archive = vectors_root / "post" / "pos" / f"{name}.tar.gz"
    if not archive.is_file():
        cli.not_checked(f"{archive} is not there")
    directory = Context(vectors_root, tmp_path).archive(f"post/pos/{name}.tar.gz", fresh=True)
    entries = json.loads((vectors_root / "post" / "pos.json").read_text())["cases"]
    (case,) = (entry for entry in entries if entry["name"] == name)
    files = cli.data_files(directory)
    result = verify(directory, "--fraction", 100).ok()
    assert result.last["scrypt_n"] == case["n"]
    assert smesher("info", directory, "--json").ok().last["complete"] is True
    smesher("repair", directory).ok()
    smesher("nonce", directory).ok()
    assert cli.metadata_text(directory) == case["post_go"]["metadata_text"]
    assert cli.data_files(directory) == files


def test_findings_name_is_what_the_tests_say() -> None:
    assert findings.FILE_NAME == FINDINGS


def test_a_link_in_the_place_of_the_lock_is_named_by_who_asks_for_a_pause(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"7")
    (tmp_path / "data").mkdir()
    lock = tmp_path / "data" / "smesher.lock"
    lock.symlink_to(outside)
    smesher("pause", lock.parent).refused(3, f"{lock}: it is a link, which is not followed here: remove it")
    assert outside.read_bytes() == b"7"
