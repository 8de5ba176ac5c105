"""Data that is wrong is told for what it is, and good data is never destroyed; nothing is asked that is not needed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.cli.data import places
from kernels.devices import find
from prover.errors import UsageError
from prover.post import identity as identity_file
from prover.post.metadata import encode
from tests.support import cli
from tests.support.cli import Job, smesher, snapshot

JOB = Job(units=4, labels_per_unit=200, max_file_size=3200)
"""Four files of 200 labels."""

FINDINGS = "smesher-findings.json"


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    return JOB.make(tmp_path / "post")


def altered(directory: Path, **fields: Any) -> None:
    cli.edit_metadata(directory, lambda text: encode(JOB.metadata(**fields)))


# -- the metadata is of other data -----------------------------------------------------------------------------

OTHERS: list[dict[str, Any]] = [
    {"node_id": bytes(32)},
    {"commitment_atx_id": b"\x21" + bytes(31)},
    {"node_id": bytes(32), "commitment_atx_id": bytes(32)},
]


@pytest.mark.parametrize("fields", OTHERS)
def test_altered_metadata_is_not_called_damage(filled: Path, fields: dict[str, Any]) -> None:
    altered(filled, **fields)
    before = snapshot(filled)
    result = smesher("verify", filled, "--json")
    assert result.code == 1
    assert result.last["damaged"] is False and "belongs to other data" in result.last["other_data"]
    text = smesher("verify", filled).refused(1, "other data", "not the disk").text
    assert "smesher repair" not in text
    assert snapshot(filled) == before, "no findings that a repair would believe"


@pytest.mark.parametrize("fields", OTHERS)
@pytest.mark.parametrize("part", [[], ["--from-file", 1, "--to-file", 1], ["--labels", "0:10"]])
def test_repair_never_overwrites_the_labels_of_somebody_else(
    filled: Path, fields: dict[str, Any], part: list[object]
) -> None:
    altered(filled, **fields)
    before = snapshot(filled)
    smesher("repair", filled, *part).refused(1, "other data", "Nothing was written", "--yes")
    assert snapshot(filled) == before


def test_repair_with_yes_rewrites_all(filled: Path) -> None:
    other = replace(JOB, node_id="00" * 32)
    cli.edit_metadata(filled, lambda text: encode(other.metadata()))
    smesher("repair", filled, "--yes").ok()
    assert cli.data_files(filled) == other.files()


def test_the_owner_is_named_by_the_key_beside_the_data(tmp_path: Path) -> None:
    identity = identity_file.generate()
    job = replace(JOB, node_id=identity.node_id.hex())
    directory = job.make(tmp_path / "post")
    (directory / "identity.key").write_bytes(identity.encode())
    cli.edit_metadata(directory, lambda text: encode(job.metadata(node_id=bytes(32))))
    smesher("verify", directory).refused(1, f"labels of node {identity.node_id.hex()}", "identity.key")


def test_a_wrong_file_size_is_not_called_damage(filled: Path) -> None:
    altered(filled, max_file_size=1600)
    for command in ("verify", "repair"):
        result = smesher(command, filled).refused(1, "MaxFileSize", "3200")
        assert "repair post" not in result.text


def test_zeros_are_damage_however_many(filled: Path) -> None:
    """A file system that has lost its data gives zeros; they say nothing of the parameters."""
    for name, content in cli.data_files(filled).items():
        (filled / name).write_bytes(bytes(len(content)))
    assert smesher("verify", filled, "--json").last["damaged"] is True
    smesher("repair", filled, "--from-file", 0).ok()
    assert cli.data_files(filled) == JOB.files()


# -- findings, ranges, nonces ----------------------------------------------------------------------------------


def test_a_range_means_every_label_of_it(filled: Path) -> None:
    cli.damage(filled, "postdata_1.bin", *range(0, 200, 2))
    cli.damage(filled, "postdata_2.bin", 7)
    assert smesher("verify", filled, "--fraction", 10, "--seed", 1).code == 1
    result = smesher("repair", filled, "--from-file", 1, "--to-file", 1, "--json").ok()
    assert (result.last["checked"], result.last["labels"], result.last["still_wrong"]) == (200, 100, 0)
    assert cli.data_files(filled)["postdata_1.bin"] == JOB.files()["postdata_1.bin"]


def test_a_repair_of_findings_says_that_it_looked_at_no_more(filled: Path) -> None:
    cli.damage(filled, "postdata_1.bin", 3)
    assert smesher("verify", filled, "--fraction", 100).code == 1
    smesher("repair", filled).ok().refused(0, "1 of 800 labels", "other labels were not looked at", "smesher verify")


def test_findings_are_recomputed_by_every_check(filled: Path) -> None:
    """Found when the metadata was wrong, or by a proof: what is wrong still counts, what is right goes."""
    cli.damage(filled, "postdata_3.bin", 9)
    right = JOB.files()["postdata_0.bin"][16:32].hex()
    wrong = cli.data_files(filled)["postdata_3.bin"][144:160].hex()
    entries = [
        {"Index": 1, "File": "postdata_0.bin", "Offset": 16, "Found": right, "Expected": "00" * 16},
        {"Index": 609, "File": "postdata_3.bin", "Offset": 144, "Found": wrong, "Expected": "00" * 16},
    ]
    (filled / FINDINGS).write_text(json.dumps({"BadLabels": entries, "ShortFiles": []}))
    assert any("2 " in problem for problem in smesher("info", filled, "--json").last["problems"])
    result = smesher("verify", filled, "--fraction", 0, "--seed", 3, "--json")
    assert (result.code, result.last["bad_labels"], result.last["labels"]) == (1, 1, 6)
    (entry,) = json.loads((filled / FINDINGS).read_text())["BadLabels"]
    assert (entry["Index"], entry["Found"]) == (609, wrong)


def test_a_findings_file_that_cannot_be_read_names_its_remedy(filled: Path) -> None:
    (filled / FINDINGS).write_text("{")
    smesher("repair", filled).refused(1, FINDINGS, "Delete it")
    smesher("repair", filled, "--from-file", 0).ok()
    (filled / FINDINGS).write_text("{")
    smesher("verify", filled).ok()
    assert not (filled / FINDINGS).exists()


@pytest.mark.parametrize(
    ("nonce", "value", "said"),
    [
        (5, None, "VRF nonce 5 is none"),
        (2**64 - 1, None, "is none"),
        (None, b"\1" * 16, "NonceValue is not the label"),
    ],
)
@pytest.mark.parametrize("command", ["info", "verify"])
def test_a_wrong_nonce_is_told(filled: Path, command: str, nonce: int | None, value: bytes | None, said: str) -> None:
    right = JOB.metadata().nonce
    altered(filled, nonce=right if nonce is None else nonce, nonce_value=value)
    smesher(command, filled).refused(1, said, "smesher nonce")
    assert smesher(command, filled, "--json").last["nonce_fault"]


def test_complete_data_without_a_nonce_is_told(filled: Path) -> None:
    altered(filled, nonce=None, nonce_value=None)
    for command in ("info", "verify"):
        assert "no VRF nonce" in smesher(command, filled).ok().out
    assert smesher("info", filled, "--json").last["status"] == "completed"
    (filled / "postdata_3.bin").unlink()
    for command in ("info", "verify"):
        assert "no VRF nonce" not in smesher(command, filled).text, "it is found with the last label"


def test_a_wrong_nonce_of_another_programs_data(filled: Path) -> None:
    (filled / "smesher.json").unlink()
    altered(filled, nonce=5, nonce_value=None)
    smesher("info", filled).refused(1, "VRF nonce 5 is none")


def test_unfinished_data_is_not_called_damaged(filled: Path) -> None:
    os.truncate(filled / "postdata_2.bin", 1600)
    (filled / "postdata_3.bin").unlink()
    result = smesher("verify", filled).refused(1, "incomplete", "2 files are missing or short", "smesher init")
    assert "damaged" not in result.text and "repair" not in result.text
    said = smesher("verify", filled, "--fraction", 100, "--json").last
    assert (said["damaged"], said["labels"], said["bad_files"]) == (False, 500, 2)


def test_the_bar_of_unfinished_data_ends_at_its_end(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from api.cli.data import verify
    from api.cli.output import Output

    totals: list[int | None] = []
    real = Output.progress

    def progress(output: Output, what: str, total: int | None, **options: Any) -> Any:
        totals.append(total)
        return real(output, what, total, **options)

    monkeypatch.setattr(verify.Output, "progress", progress)
    os.truncate(filled / "postdata_2.bin", 1600)
    (filled / "postdata_3.bin").unlink()
    for fraction in (0, 10, 33, 100):
        checked = smesher("verify", filled, "--fraction", fraction, "--seed", 4, "--json").last["labels"]
        assert totals.pop() == checked


# -- identities ------------------------------------------------------------------------------------------------


def entries(*tables: str) -> str:
    return f"directories = [{', '.join(tables)}]\n"


def test_one_identity_for_two_directories_is_refused(tmp_path: Path) -> None:
    rigs = tmp_path / "rigs.toml"
    rigs.write_text(entries(f'"{tmp_path}/a"', f'"{tmp_path}/b"'))
    JOB.init(rigs).refused(2, "the same labels twice", tmp_path / "a", tmp_path / "b", JOB.node_id)
    assert not (tmp_path / "a").exists()


def test_an_identity_on_disk_counts_too(tmp_path: Path) -> None:
    JOB.make(tmp_path / "a")
    rigs = tmp_path / "rigs.toml"
    table = f'{{data-dir = "{tmp_path}/b", node-id = "{JOB.node_id}"}}'
    rigs.write_text(entries(f'"{tmp_path}/a"', table))
    words = [word for word in JOB.options(rigs) if word not in ("--node-id", JOB.node_id)]
    smesher(*words).refused(2, "the same labels twice")


def test_parts_of_one_identity_are_welcome(tmp_path: Path) -> None:
    rigs = tmp_path / "rigs.toml"
    first, rest = (
        f'{{data-dir = "{tmp_path}/{name}", {files}}}'
        for name, files in (
            ("a", "to-file = 1"),
            ("b", "from-file = 2"),
        )
    )
    rigs.write_text(entries(first, rest))
    JOB.init(rigs).ok()
    assert len(cli.data_files(tmp_path / "a")) == len(cli.data_files(tmp_path / "b")) == 2


@pytest.mark.parametrize("name", ["key.bin", "local.key"])
def test_a_key_under_a_former_name_is_not_overlooked(tmp_path: Path, name: str) -> None:
    identity = identity_file.generate()
    directory = tmp_path / "post"
    directory.mkdir()
    (directory / name).write_bytes(identity.encode())
    words = [word for word in JOB.options(directory) if word not in ("--node-id", JOB.node_id)]
    before = snapshot(directory)
    smesher(*words).refused(2, directory / name, "--identity")
    assert snapshot(directory) == before
    smesher(*words, "--identity", directory / name).ok()
    assert cli.metadata_of(directory).node_id == identity.node_id


# -- places ----------------------------------------------------------------------------------------------------


def test_a_misspelt_list_becomes_no_directory(tmp_path: Path) -> None:
    (tmp_path / "rigs.toml").write_text(entries(f'"{tmp_path}/a"'))
    for name in ("rigs.tml", "rigs.tomll"):
        JOB.init(tmp_path / name).refused(2, tmp_path / name, "Did you mean", "rigs.toml")
        assert not (tmp_path / name).exists()
    JOB.init(tmp_path / "rig.toml").refused(2, "name is that of a list of directories")


def test_what_is_no_directory_is_called_by_its_kind(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"")
    for name, kind in (("fifo", "a FIFO"), ("file", "a file"), ("/dev/null", "a device")):
        JOB.init(tmp_path / name).refused(2, kind, "expected a directory")


def test_a_fifo_in_place_of_a_file_is_not_waited_for(filled: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")
    words = [word for word in JOB.options(tmp_path / "new") if word not in ("--node-id", JOB.node_id)]
    smesher(*words, "--identity", tmp_path / "key").refused(2, "a FIFO", "expected a file")
    (filled / "postdata_metadata.json").unlink()
    os.mkfifo(filled / "postdata_metadata.json")
    for command in ("info", "verify", "repair", "nonce"):
        smesher(command, filled).refused(3, "postdata_metadata.json", "it is a FIFO")


def test_a_refusal_leaves_no_directory_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a" / "b" / "post"
    JOB.init(place, "--provider", "voodoo").refused(2, "voodoo")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("prover.post.directory.free_bytes", lambda path: 100)
    JOB.init(place).refused(3, "100 bytes free")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_holds_no_such_files_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = os.stat(tmp_path)
    device_number = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:1 / /proc rw - proc proc rw\n"
        f"36 22 {device_number} / /mnt/stick rw,nosuid shared:1 - vfat /dev/sdb1 rw,fmask=0022\n"
    )
    monkeypatch.setattr(places, "_MOUNTS", mounts)
    assert places.file_system_of(tmp_path / "not" / "there") == "vfat"
    with pytest.raises(UsageError, match=r"FAT file system.*--max-file-size 2147483648"):
        places.check_file_size(tmp_path, 1 << 32)
    places.check_file_size(tmp_path, (1 << 32) - 16)
    monkeypatch.setattr("prover.post.directory.free_bytes", lambda path: 1 << 60)
    big = ["--labels-per-unit", 1 << 29, "--max-file-size", 1 << 32]
    JOB.init(tmp_path / "post", *big).refused(2, "do not fit", "--max-file-size 2147483648")
    assert not (tmp_path / "post").exists()
    monkeypatch.setattr(places, "_MOUNTS", tmp_path / "none")
    assert places.file_system_of(tmp_path) is None


def test_the_file_system_of_this_machine(tmp_path: Path) -> None:
    if not Path("/proc/self/mountinfo").exists():
        cli.not_checked("this system does not list its mounts")
    assert places.file_system_of(tmp_path) not in ("vfat", "msdos", "fat")


# -- what is not needed is not asked for -----------------------------------------------------------------------


def test_complete_data_needs_no_device(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "devices", lambda: [])
    words = [word for word in JOB.options(filled) if word != "--cpu"]
    assert "complete: 800 labels" in smesher(*words, "--gpu").ok().text


@pytest.mark.parametrize("command", ["verify", "repair"])
def test_nothing_to_recompute_needs_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    directory = JOB.make(tmp_path / "post")
    for path in directory.glob("postdata_*.bin"):
        path.unlink()
    monkeypatch.setattr(find, "devices", lambda: [])
    smesher(command, directory, "--gpu").refused(1, "missing")


def test_a_full_disk_at_a_nonce_is_told_with_file_and_advice() -> None:
    with cli.small_disk(1 << 20) as (disk, _):
        directory = JOB.make(disk / "post")
        cli.edit_metadata(directory, lambda text: encode(JOB.metadata(nonce=None, nonce_value=None)))
        with (disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while file.write(bytes(4096)):
                pass
        smesher("nonce", directory).refused(3, "postdata_metadata.json", "the disk is full: free some space")
        shutil.rmtree(directory)
