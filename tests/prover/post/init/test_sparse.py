"""Files above 4 GiB and label positions beyond 2^32, as real data has them: almost all of each file is a hole."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kernels.labels import cpu
from prover.post.layout import Layout
from prover.post.metadata import decode, encode
from tests.support import cli
from tests.support.cli import Job, Result, smesher

GIB = 2**30
NONCE = 12345
"""Any label serves: what a nonce has to be is checked elsewhere, and with one no hole is searched for another."""

PER_FILE = 2**30
BIG = Job(units=5, labels_per_unit=2**31 + 200, max_file_size=16 * GIB)
"""Ten files of 2^30 labels and a last one of 1000: files above 4 GiB, labels beyond 2^33."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with metadata of `BIG` and without data."""
    probe = tmp_path / "probe"
    try:
        with probe.open("wb") as file:
            file.truncate(16 * GIB)
        sparse = probe.stat().st_blocks * 512 < GIB
        probe.unlink()
    except OSError as error:
        cli.not_checked(f"the file system has no files of 16 GiB: {error}")
    if not sparse:
        cli.not_checked("the file system has no sparse files")
    path = tmp_path / "post"
    path.mkdir()
    label = BIG.labels32(NONCE, 1)[0].tobytes()
    metadata = cli.PostMetadata(
        node_id=bytes.fromhex(BIG.node_id),
        commitment_atx_id=bytes.fromhex(BIG.atx_id),
        labels_per_unit=BIG.labels_per_unit,
        num_units=BIG.units,
        max_file_size=BIG.max_file_size,
        nonce=NONCE,
        nonce_value=label[:16],
    )
    (path / "postdata_metadata.json").write_text(encode(metadata))
    (path / "smesher.json").write_text('{"ScryptN": 2}')
    return path


@pytest.fixture(autouse=True)
def plenty_of_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holes count as space that is needed; how the disk is checked is tested elsewhere."""
    monkeypatch.setattr("prover.post.directory.Storage.free_bytes", lambda self: 1 << 60)
    cpu.warm_up()


def right(index: int, count: int = 1) -> bytes:
    """The labels from `index` on, as on disk."""
    return BIG.labels32(index, count)[:, :16].tobytes()


def without_nonce(directory: Path) -> None:
    """The nonce in the metadata is none, and what looks at it would say so."""
    cli.edit_metadata(directory, lambda text: encode(replace(decode(text), nonce=None, nonce_value=None)))


def hole(directory: Path, number: int, labels: int) -> Path:
    """A data file of so many labels, the last of them right, all others zero."""
    path = directory / f"postdata_{number}.bin"
    with path.open("wb") as file:
        file.truncate((labels - 1) * 16)
        file.seek((labels - 1) * 16)
        file.write(right(number * PER_FILE + labels - 1))
    return path


def read(path: Path, position: int, count: int = 1) -> bytes:
    """Labels at a position of a file."""
    with path.open("rb") as file:
        file.seek(position * 16)
        return file.read(count * 16)


def bad(result: Result) -> list[tuple[str, int, int]]:
    """File, byte offset and index of each bad label that was named."""
    return [(event["file"], event["offset"], event["index"]) for event in result.named("bad_label")]


def test_the_layout_of_the_big_set() -> None:
    layout = Layout(BIG.num_labels, BIG.max_file_size)
    assert (layout.num_files, layout.file_labels(9), layout.file_labels(10)) == (11, PER_FILE, 1000)
    assert layout.locate(2**32) == (4, 0)
    assert layout.locate(2**33 + 2**29) == (8, 2**33)
    assert layout.first_label(10) == 10 * 2**30 > 2**33


@pytest.mark.parametrize(
    ("number", "missing"),
    [
        pytest.param(0, 700, id="file above 4 GiB"),
        pytest.param(3, 40, id="up to label 2^32"),
        pytest.param(4, 700, id="labels beyond 2^32"),
        pytest.param(9, 3000, id="labels beyond 2^33"),
    ],
)
def test_init_appends_beyond_4_gib(directory: Path, number: int, missing: int) -> None:
    held = PER_FILE - missing
    path = hole(directory, number, held)
    before = cli.metadata_text(directory)
    result = BIG.init(directory, "--from-file", number, "--to-file", number, "--json").ok()
    assert path.stat().st_size == 16 * GIB
    assert read(path, held - 1, missing + 1) == right(number * PER_FILE + held - 1, missing + 1)
    assert read(path, held - 3, 2) == bytes(32), "what was there is not touched"
    assert result.last["labels"] == missing
    assert result.last["complete"] is False
    assert cli.metadata_text(directory) == before, "none of these labels is smaller than the nonce, or it is found"
    assert path.stat().st_blocks * 512 < GIB
    # nothing is left to do
    assert BIG.init(directory, "--from-file", number, "--to-file", number, "--json").ok().last["labels"] == 0


def test_init_crosses_2_to_the_32(directory: Path) -> None:
    # one file over the boundary: 2^32 - 40 … 2^32 + 59
    job = Job(units=1, labels_per_unit=2**32 + 60, max_file_size=2**37)
    metadata = cli.metadata_of(directory)
    metadata = replace(metadata, num_units=1, labels_per_unit=job.labels_per_unit, max_file_size=2**37)
    cli.edit_metadata(directory, lambda text: encode(metadata))
    path = directory / "postdata_0.bin"
    try:
        with path.open("wb") as file:
            file.truncate((2**32 - 41) * 16)
            file.seek((2**32 - 41) * 16)
            file.write(right(2**32 - 41))
    except OSError as error:
        cli.not_checked(f"the file system has no files of 64 GiB: {error}")
    result = job.init(directory, "--json").ok()
    assert (result.last["labels"], result.last["complete"]) == (100, True)
    assert read(path, 2**32 - 41, 101) == right(2**32 - 41, 101)
    assert path.stat().st_size == job.num_labels * 16


def test_init_makes_the_last_file(directory: Path) -> None:
    result = BIG.init(directory, "--from-file", 10, "--json").ok()
    assert (directory / "postdata_10.bin").read_bytes() == right(10 * PER_FILE, 1000)
    assert result.last["labels"] == 1000


def test_init_cuts_a_partial_label_beyond_4_gib(directory: Path) -> None:
    path = hole(directory, 5, PER_FILE - 20)
    with path.open("ab") as file:
        file.write(b"\xee" * 11)
    BIG.init(directory, "--from-file", 5, "--to-file", 5).ok()
    assert read(path, PER_FILE - 21, 30) == right(6 * PER_FILE - 21, 21)
    assert path.stat().st_size == 16 * GIB


def test_init_refuses_a_wrong_last_label_beyond_4_gib(directory: Path) -> None:
    path = hole(directory, 5, PER_FILE - 20)
    os.truncate(path, (PER_FILE - 30) * 16)  # now the last label is zero
    hole(directory, 10, 1000)  # so that some label confirms N
    result = BIG.init(directory, "--from-file", 5, "--to-file", 5)
    result.refused(1, f"index {6 * PER_FILE - 31}", f"byte offset {(PER_FILE - 31) * 16}", "postdata_5.bin", "repair")
    assert path.stat().st_size == (PER_FILE - 30) * 16


def test_init_refuses_surplus_beyond_4_gib(directory: Path) -> None:
    path = hole(directory, 5, PER_FILE)
    os.truncate(path, 16 * GIB + 16)
    BIG.init(directory, "--from-file", 5, "--to-file", 5).refused(1, "postdata_5.bin", "16 bytes", "--yes")
    assert path.stat().st_size == 16 * GIB + 16


def test_init_is_not_confused_by_what_other_files_hold(directory: Path) -> None:
    for number in (0, 2, 7):
        hole(directory, number, PER_FILE)
    hole(directory, 9, PER_FILE - 5)
    result = BIG.init(directory, "--from-file", 9, "--json").ok()
    assert result.last["labels"] == 1005
    assert result.last["labels_on_disk"] == 4 * PER_FILE + 1000
    assert read(directory / "postdata_9.bin", PER_FILE - 5, 5) == right(10 * PER_FILE - 5, 5)


def test_info_counts_sparse_files(directory: Path) -> None:
    without_nonce(directory)
    for number in (0, 4):
        hole(directory, number, PER_FILE)
    hole(directory, 5, PER_FILE - 7)
    said = smesher("info", directory, "--json").ok().last
    assert said["labels"] == 3 * PER_FILE - 7
    assert said["total_labels"] == 10 * PER_FILE + 1000
    assert said["bytes"] == 48 * GIB - 112
    incomplete = {one["file"]: one["bytes"] for one in said["incomplete_files"]}
    assert len(incomplete) == 9 and incomplete["postdata_5.bin"] == 16 * GIB - 112


def test_verify_names_the_right_offsets(directory: Path) -> None:
    for number in (0, 4):
        hole(directory, number, PER_FILE)
    result = smesher(
        *("verify", directory, "--from-file", 4, "--to-file", 4, "--fraction", 0.00001, "--seed", 7, "--json")
    )
    assert result.code == 1
    found = bad(result)
    assert len(found) == result.last["labels"] == PER_FILE // 10_000_000  # 0.00001 % of 2^30
    for name, offset, index in found:
        assert name == "postdata_4.bin"
        assert index == 2**32 + offset // 16 and offset % 16 == 0
    assert max(offset for _, offset, _ in found) > 12 * GIB, "positions are spread over the whole file"
    assert min(offset for _, offset, _ in found) < 4 * GIB
    assert [event["expected"] for event in result.named("bad_label")] == [right(index).hex() for _, _, index in found]
    # the right labels at these offsets, and the same sample finds nothing
    with (directory / "postdata_4.bin").open("r+b") as file:
        for _, offset, index in found[5:]:
            file.seek(offset)
            file.write(right(index))
    again = smesher(
        *("verify", directory, "--from-file", 4, "--to-file", 4, "--fraction", 0.00001, "--seed", 7, "--json")
    )
    assert bad(again) == found[:5]


def test_repair_beyond_4_gib(directory: Path) -> None:
    path = hole(directory, 4, PER_FILE)
    first = 2**32 + 2**29 + 5  # 8 GiB into file 4
    files = ("--from-file", 4, "--to-file", 4)
    result = smesher("repair", directory, "--labels", f"{first}:{first + 300}", *files, "--json").ok()
    assert result.last["labels"] == 300
    assert read(path, 2**29 + 4, 302) == bytes(16) + right(first, 300) + bytes(16)
    assert bad(result)[0] == ("postdata_4.bin", (2**29 + 5) * 16, first)


def test_repair_of_findings_beyond_4_gib(directory: Path) -> None:
    without_nonce(directory)
    path = hole(directory, 9, PER_FILE)
    words = ("verify", directory, "--from-file", 9, "--to-file", 9, "--fraction", 0.000001, "--seed", 3, "--json")
    result = smesher(*words)
    found = bad(result)
    assert len(found) == 10
    findings = json.loads((directory / "smesher-findings.json").read_text())["BadLabels"]
    assert [(one["File"], one["Offset"], one["Index"]) for one in findings] == found
    repaired = smesher("repair", directory, "--json")
    assert repaired.code == 1, "the other files are missing"
    assert (repaired.last["labels"], repaired.last["still_wrong"]) == (10, 0)
    for _, offset, index in found:
        assert read(path, offset // 16) == right(index)
    assert smesher(*words).code == 0
    assert path.stat().st_size == 16 * GIB
