"""`repair` from outside, on small sets whose right bytes are known."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.api.cli.data.small_set import FILES, FINDINGS, JOB, bad_labels, findings_of, verify
from tests.support import cli
from tests.support.cli import smesher, snapshot


def test_repair_with_findings(filled: Path) -> None:
    before = cli.data_files(filled)
    cli.damage(filled, "postdata_0.bin", 9)
    cli.damage(filled, "postdata_3.bin", 0, 100)
    assert verify(filled, "--fraction", 100).code == 1
    result = smesher("repair", filled, "--json").ok()
    assert (result.last["labels"], result.last["checked"], result.last["still_wrong"]) == (3, 3, 0)
    assert cli.data_files(filled) == before
    assert not (filled / FINDINGS).exists()
    assert verify(filled, "--fraction", 100).code == 0


def test_repair_without_findings(filled: Path) -> None:
    before = cli.data_files(filled)
    cli.damage(filled, "postdata_0.bin", 9)
    cli.damage(filled, "postdata_3.bin", 0, 100)
    result = smesher("repair", filled, "--json").ok()
    assert (result.last["labels"], result.last["checked"]) == (3, 500)
    assert bad_labels(result) == [("postdata_0.bin", 144), ("postdata_3.bin", 0), ("postdata_3.bin", 1600)]
    assert cli.data_files(filled) == before
    smesher("repair", filled).ok()


def test_repair_a_range_of_labels(filled: Path) -> None:
    right = cli.data_files(filled)
    cli.damage(filled, "postdata_1.bin", 1, 2, 3, 4)
    # labels 130 and 131 are at positions 2 and 3 of file 1
    result = smesher("repair", filled, "--labels", "130:132", "--json").ok()
    assert (result.last["labels"], result.last["checked"]) == (2, 2)
    now = (filled / "postdata_1.bin").read_bytes()
    assert now[32:64] == right["postdata_1.bin"][32:64]
    assert now[16:32] != right["postdata_1.bin"][16:32] and now[64:80] != right["postdata_1.bin"][64:80]
    smesher("repair", filled, "--labels", "120:").ok()
    assert cli.data_files(filled) == right
    cli.damage(filled, "postdata_0.bin", 0)
    smesher("repair", filled, "--labels", ":1").ok()
    assert cli.data_files(filled) == right


def test_repair_of_a_range_does_not_mind_what_is_missing_elsewhere(filled: Path) -> None:
    right = (filled / "postdata_1.bin").read_bytes()
    cli.damage(filled, "postdata_1.bin", 2)
    (filled / "postdata_3.bin").unlink()
    smesher("repair", filled, "--labels", "128:256").ok()
    assert (filled / "postdata_1.bin").read_bytes() == right
    # but a range with a gap in it is not all right
    smesher("repair", filled, "--labels", "128:400").refused(1, "postdata_3.bin", "missing")


@pytest.mark.parametrize("labels", ["5", "5:5", "6:5", "0:501", "-1:5", "a:b", "1:2:3", "0x1:5", ""])
def test_repair_ranges_that_are_none(filled: Path, labels: str) -> None:
    before = snapshot(filled)
    smesher("repair", filled, f"--labels={labels}").refused(2, "--labels")
    assert snapshot(filled) == before


def test_repair_from_file_and_to_file(filled: Path) -> None:
    right = cli.data_files(filled)
    for number in range(FILES):
        cli.damage(filled, f"postdata_{number}.bin", 7)
    result = smesher("repair", filled, "--from-file", 1, "--to-file", 2, "--json").ok()
    assert (result.last["labels"], result.last["checked"]) == (2, 256)
    now = cli.data_files(filled)
    assert [now[name] == right[name] for name in sorted(right)] == [False, True, True, False]
    smesher("repair", filled, "--from-file", 4).refused(2, "--from-file")


def test_repair_of_a_part_keeps_the_other_findings(filled: Path) -> None:
    right = cli.data_files(filled)
    for number in range(FILES):
        cli.damage(filled, f"postdata_{number}.bin", 7)
    assert verify(filled, "--fraction", 100).code == 1
    result = smesher("repair", filled, "--from-file", 1, "--to-file", 2, "--json").ok()
    assert (result.last["checked"], result.last["labels"]) == (256, 2), "a range means every label of it"
    assert findings_of(filled) == [("postdata_0.bin", 112), ("postdata_3.bin", 112)]
    assert cli.data_files(filled)["postdata_1.bin"] == right["postdata_1.bin"]
    smesher("repair", filled, "--labels", "0:10").ok()
    assert findings_of(filled) == [("postdata_3.bin", 112)]
    smesher("repair", filled).ok()
    assert not (filled / FINDINGS).exists()
    assert cli.data_files(filled) == right


def test_repair_says_what_it_cannot_mend(filled: Path) -> None:
    cli.damage(filled, "postdata_1.bin", 3)
    (filled / "postdata_2.bin").unlink()
    os.truncate(filled / "postdata_3.bin", 100)
    assert verify(filled, "--fraction", 100).code == 1
    smesher("repair", filled).refused(1, "postdata_2.bin", "postdata_3.bin", "missing", "100 bytes", "init")
    assert (filled / "postdata_1.bin").read_bytes() == JOB.files()["postdata_1.bin"]
    assert not (filled / "postdata_2.bin").exists(), "a repair makes no files"
    JOB.init(filled).ok()
    smesher("repair", filled).ok()
    assert cli.data_files(filled) == JOB.files()


def test_repair_of_right_data_changes_nothing(filled: Path) -> None:
    before = snapshot(filled)
    result = smesher("repair", filled, "--json").ok()
    assert (result.last["labels"], result.last["checked"]) == (0, 500)
    assert snapshot(filled) == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"BadLabels": 5}',
        '{"BadLabels": [5]}',
        '{"BadLabels": [{"Index": -1, "File": "postdata_0.bin", "Offset": 0, "Found": "00", "Expected": "00"}]}',
        '{"BadLabels": [{"Index": 1, "File": "../x", "Offset": 16, "Found": "00", "Expected": "00"}]}',
    ],
)
def test_repair_with_findings_that_are_none(filled: Path, text: str) -> None:
    (filled / FINDINGS).write_text(text)
    before = snapshot(filled)
    smesher("repair", filled).refused(1, filled / FINDINGS)
    assert snapshot(filled) == before


def test_repair_never_trusts_the_findings(filled: Path) -> None:
    """What is written over a label is recomputed, not taken from a file that anyone could have changed."""
    before = cli.data_files(filled)
    bad = {"Index": 3, "File": "postdata_0.bin", "Offset": 48, "Found": "00" * 16, "Expected": "ff" * 16}
    (filled / FINDINGS).write_text(json.dumps({"BadLabels": [bad], "ShortFiles": []}))
    smesher("repair", filled).ok()
    assert cli.data_files(filled) == before
    bad = {**bad, "Index": 500}
    (filled / FINDINGS).write_text(json.dumps({"BadLabels": [bad], "ShortFiles": []}))
    assert smesher("repair", filled).code in (1, 2)
    assert cli.data_files(filled) == before


def test_init_after_repair_goes_on(filled: Path) -> None:
    os.truncate(filled / "postdata_2.bin", 160)
    (filled / "postdata_3.bin").unlink()
    cli.damage(filled, "postdata_2.bin", 9)
    JOB.init(filled).refused(1, "repair")
    assert smesher("repair", filled).code == 1  # files are short, but the label is right now
    JOB.init(filled).ok()
    assert cli.data_files(filled) == JOB.files()
