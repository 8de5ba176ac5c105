"""What `smesher init` finds in a directory: other parameters, damaged files, broken metadata.

Tests of rows of its table of bad input are named after the row. What a crash at any instant leaves behind is in
tests/prover/post/init/test_crash.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prover.post.init import scrypt_n
from prover.post.metadata import encode
from tests.api.cli.data.init.jobs import JOB, OTHER, is_complete
from tests.support import cli
from tests.support.cli import ATX_ID, NODE_ID, Job, smesher, snapshot

# == bad input and faults ======================================================================================


@pytest.mark.parametrize(
    ("option", "value", "field", "there", "asked"),
    [
        ("--node-id", OTHER, "NodeId", NODE_ID, OTHER),
        ("--commitment-atx-id", OTHER, "CommitmentAtxId", ATX_ID, OTHER),
        ("--labels-per-unit", 32, "LabelsPerUnit", "64", "32"),
        ("--max-file-size", 2048, "MaxFileSize", "1024", "2048"),
    ],
)
def test_parameters_differ_from_the_metadata_in_the_directory(
    filled: Path, option: str, value: object, field: str, there: str, asked: str
) -> None:
    before = snapshot(filled)
    JOB.init(filled, option, value).refused(2, field, there, asked, option, "another directory")
    assert snapshot(filled) == before


def test_parameters_differ_from_the_metadata_names_every_field(half: Path) -> None:
    before = snapshot(half)
    other = Job(units=4, labels_per_unit=32, max_file_size=2048, atx_id=OTHER, node_id=OTHER)
    other.init(half, "--yes").refused(
        2, "NodeId", "CommitmentAtxId", "LabelsPerUnit", "MaxFileSize", NODE_ID, ATX_ID, OTHER, 64, 32, 1024, 2048
    )
    assert snapshot(half) == before


@pytest.mark.parametrize("record", [True, False], ids=["recorded", "found"])
@pytest.mark.parametrize("complete", [True, False], ids=["complete", "incomplete"])
def test_another_scrypt_n_than_recorded_or_found(tmp_path: Path, record: bool, complete: bool) -> None:
    directory = JOB.make(tmp_path / "post", record=record)
    if not complete:
        os.truncate(directory / "postdata_3.bin", 160)
    before = snapshot(directory)
    JOB.init(directory, "--scrypt-n", 16).refused(2, "scrypt N", "16", "N = 2", "--scrypt-n")
    JOB.init(directory, "--scrypt-n", 16, "--yes").refused(2, "N = 2")
    assert snapshot(directory) == before


def test_other_metadata_without_labels_is_refused_and_overwritten_with_yes(tmp_path: Path) -> None:
    directory = tmp_path / "post"
    directory.mkdir()
    (directory / "postdata_metadata.json").write_text(encode(replace(JOB.metadata(), node_id=bytes(32))))
    before = snapshot(directory)
    JOB.init(directory).refused(2, "NodeId", "00" * 32, NODE_ID, "--yes")
    assert snapshot(directory) == before
    JOB.init(directory, "--yes").ok()
    is_complete(directory)


def test_more_units_than_before(filled: Path, half: Path) -> None:
    before = snapshot(filled)
    JOB.init(filled, "--num-units", 5).refused(2, "NumUnits", "4", "5", "--grow")
    JOB.init(filled, "--num-units", 5, "--yes").refused(2, "NumUnits", "--grow")
    assert snapshot(filled) == before


def test_fewer_units_than_before(filled: Path) -> None:
    before = snapshot(filled)
    # three units less: 192 labels of 16 bytes
    JOB.init(filled, "--num-units", 1).refused(2, "NumUnits", "4", "1", "192 labels", "3072 bytes", "--yes")
    assert snapshot(filled) == before


def test_fewer_units_than_before_with_yes(tmp_path: Path) -> None:
    job = Job(units=4, labels_per_unit=100, max_file_size=2048)
    directory = job.make(tmp_path / "post")
    job.init(directory, "--num-units", 2, "--yes").ok()
    fewer = replace(job, units=2)
    assert cli.data_files(directory) == fewer.files()
    # the nonce stays: its threshold has grown
    assert cli.metadata_of(directory) == replace(job.metadata(), num_units=2)
    job.init(directory, "--num-units", 2).ok()


def test_fewer_units_than_before_on_incomplete_data_counts_only_what_is_there(half: Path) -> None:
    JOB.init(half, "--num-units", 2).refused(2, "10 labels", "160 bytes", "--yes")


# -- files that are not as they should be ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 15, 161, 1023])
def test_a_file_has_a_partial_label(half: Path, size: int) -> None:
    with (half / "postdata_2.bin").open("wb") as file:
        file.write(JOB.files()["postdata_2.bin"][: size // 16 * 16] + b"\xff" * (size % 16))
    JOB.init(half).ok()
    is_complete(half)


@pytest.mark.parametrize("name", ["postdata_1.bin", "postdata_3.bin"])
@pytest.mark.parametrize("surplus", [5, 16, 4000])
def test_a_file_is_longer_than_its_share(filled: Path, name: str, surplus: int) -> None:
    with (filled / name).open("ab") as file:
        file.write(bytes(surplus))
    before = snapshot(filled)
    JOB.init(filled).refused(1, name, f"{surplus} bytes", "--yes")
    assert snapshot(filled) == before
    JOB.init(filled, "--yes").ok()
    is_complete(filled)


def test_a_file_beyond_the_last(filled: Path) -> None:
    (filled / "postdata_4.bin").write_bytes(bytes(160))
    before = snapshot(filled)
    JOB.init(filled).refused(1, "postdata_4.bin", "160 bytes", "--yes")
    assert snapshot(filled) == before
    JOB.init(filled, "--yes").ok()
    is_complete(filled)


def test_a_middle_file_is_missing(filled: Path) -> None:
    (filled / "postdata_1.bin").unlink()
    JOB.init(filled).ok()
    is_complete(filled)


def test_several_gaps_are_filled(filled: Path) -> None:
    os.truncate(filled / "postdata_0.bin", 33)
    (filled / "postdata_1.bin").unlink()
    os.truncate(filled / "postdata_3.bin", 0)
    result = JOB.init(filled, "--json").ok()
    is_complete(filled)
    assert result.last["labels"] == 62 + 64 + 64


@pytest.mark.parametrize("name", ["postdata_001.bin", "postdata_9xbin"])
def test_names_that_others_take_for_data_are_named_and_not_counted(half: Path, name: str) -> None:
    (half / name).write_bytes(b"x" * 64)
    JOB.init(half).ok().refused(0, name)
    assert (half / name).read_bytes() == b"x" * 64
    (half / name).unlink()
    is_complete(half)


def test_labels_without_metadata(half: Path) -> None:
    (half / "postdata_metadata.json").unlink()
    before = snapshot(half)
    unnamed = [*JOB.options(half)]
    at = unnamed.index("--node-id")
    smesher(*unnamed[:at], *unnamed[at + 2 :]).refused(1, "postdata_metadata.json", "138 labels", "--node-id")
    smesher("init", "--data-dir", half, "--network", "fastnet").refused(1, "postdata_metadata.json", "138 labels")
    assert snapshot(half) == before


@pytest.mark.parametrize("record", [True, False])
def test_lost_metadata_is_proved_on_the_labels(half: Path, record: bool) -> None:
    (half / "postdata_metadata.json").unlink()
    if not record:
        (half / "smesher.json").unlink()
    JOB.init(half).ok().refused(0, "was lost", "Labels of every file were recomputed")
    assert cli.data_files(half) == JOB.files()
    assert cli.metadata_of(half) == JOB.metadata()


def test_lost_metadata_of_complete_data_brings_the_nonce_back(tmp_path: Path) -> None:
    directory = JOB.make(tmp_path / "post")
    (directory / "postdata_metadata.json").unlink()
    before = cli.data_files(directory)
    JOB.init(directory).ok()
    assert cli.metadata_of(directory) == JOB.metadata() and cli.data_files(directory) == before


@pytest.mark.parametrize("name", ["postdata_0.bin", "postdata_1.bin", "postdata_2.bin", "postdata_3.bin"])
@pytest.mark.parametrize("position", [0, 32, 63])
def test_labels_for_lost_metadata_that_are_wrong(tmp_path: Path, name: str, position: int) -> None:
    directory = JOB.make(tmp_path / "post")
    (directory / "postdata_metadata.json").unlink()
    cli.damage(directory, name, position)
    before = snapshot(directory)
    JOB.init(directory).refused(1, name, f"byte offset {position * 16}")
    assert snapshot(directory) == before


def test_parameters_for_lost_metadata_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrypt_n, "CANDIDATES", (8192, 2, 4))  # trying 2^20 takes seconds
    directory = JOB.make(tmp_path / "post")
    (directory / "postdata_metadata.json").unlink()
    before = snapshot(directory)
    replace(JOB, max_file_size=2048).init(tmp_path / "post").refused(1, "postdata_2.bin (1024 bytes too many)")
    replace(JOB, max_file_size=2048).init(tmp_path / "post", "--yes").refused(1, "postdata_1.bin", "expected")
    replace(JOB, node_id="12" * 32, scrypt_n=2).init(tmp_path / "post").refused(1, "belongs to other data")
    assert snapshot(directory) == before


def test_a_copy_of_another_file_is_named(tmp_path: Path) -> None:
    directory = JOB.make(tmp_path / "post")
    (directory / "postdata_2.bin").write_bytes((directory / "postdata_1.bin").read_bytes())
    before = snapshot(directory)
    JOB.init(directory).refused(1, "postdata_2.bin", "it is the label of postdata_1.bin", "copy")
    assert snapshot(directory) == before


def test_every_file_has_its_last_label_recomputed(tmp_path: Path) -> None:
    directory = JOB.make(tmp_path / "post")
    cli.damage(directory, "postdata_1.bin", 63)
    JOB.init(directory).refused(1, "postdata_1.bin", "last label", "index 127")


def test_an_overlong_file_is_made_again_whole(tmp_path: Path) -> None:
    """Another program appended to a label that was cut in two: everything after it is shifted."""
    directory, right = JOB.make(tmp_path / "post"), JOB.files()["postdata_1.bin"]
    (directory / "postdata_1.bin").write_bytes(right[: 30 * 16 + 5] + right[30 * 16 :])
    info = smesher("info", directory, "--json").ok().last
    assert (info["complete"], info["status"]) == (False, "doubtful")
    assert "shifted" in smesher("info", directory).ok().text and "doubtful" in smesher("info", directory).text
    JOB.init(directory).refused(1, "postdata_1.bin (5 bytes too many)")
    JOB.init(directory, "--yes").ok().refused(0, "too long", "34 of them were wrong", "64 labels written")
    assert cli.data_files(directory) == JOB.files() and cli.metadata_of(directory) == JOB.metadata()
    assert smesher("info", directory, "--json").ok().last["status"] == "completed"


def test_a_damaged_record_is_set_aside(half: Path) -> None:
    (half / "smesher.json").write_text('{"ScryptN": ')
    smesher("info", half).ok().refused(0, "smesher.json cannot be read", "deleted")
    JOB.init(half).ok().refused(0, "smesher.json cannot be read", "smesher.json.damaged")
    assert (half / "smesher.json.damaged").read_text() == '{"ScryptN": '
    assert cli.data_files(half) == JOB.files()


@pytest.mark.parametrize("nonce", [5, None])
def test_a_wrong_nonce_is_told_and_mended_by_nonce(half: Path, nonce: int | None) -> None:
    """Its forged value is smaller than any label, so that no candidate would ever take its place."""
    right = JOB.metadata()
    wrong = encode(JOB.metadata(nonce=right.nonce if nonce is None else nonce, nonce_value=bytes(16)))
    cli.edit_metadata(half, lambda text: wrong)
    said = "NonceValue of the metadata is not the label" if nonce is None else "VRF nonce 5 is not valid"
    JOB.init(half).ok().refused(0, said, f"smesher nonce {half}")
    assert cli.metadata_text(half) == wrong
    smesher("nonce", half).ok()
    assert cli.metadata_of(half) == right


@pytest.mark.parametrize("name", ["postdata_0.bin", "postdata_2.bin"])
def test_last_label_on_disk_is_not_the_right_label(half: Path, name: str) -> None:
    os.truncate(half / name, 160)
    cli.damage(half, name, 9)
    before = snapshot(half)
    index = 9 if name == "postdata_0.bin" else 137
    right = JOB.labels32(index, 1)[0, :16].tobytes().hex()
    wrong = (half / name).read_bytes()[144:].hex()
    JOB.init(half).refused(1, name, "last label", f"index {index}", "offset 144", right, wrong, "verify", "repair")
    JOB.init(half, "--yes").refused(1, name)
    assert snapshot(half) == before


def test_labels_of_another_identity_are_never_continued(half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrypt_n, "CANDIDATES", (8192, 2, 4))  # trying 2^20 takes seconds
    other = Job(atx_id=OTHER)
    for name, content in other.files().items():
        if (half / name).exists():
            (half / name).write_bytes(content[: (half / name).stat().st_size])
    before = snapshot(half)
    result = JOB.init(half).refused(1, "verify", "belongs to other data", "Nothing was written")
    assert "repair" not in result.text, "the labels may be good labels of somebody"
    assert snapshot(half) == before


# -- metadata --------------------------------------------------------------------------------------------------


def without(field: str) -> Callable[[str], str]:
    """The text without a field."""

    def change(text: str) -> str:
        document = json.loads(text)
        del document[field]
        return json.dumps(document)

    return change


def with_value(field: str, value: Any) -> Callable[[str], str]:
    """The text with another value of a field."""
    return lambda text: json.dumps({**json.loads(text), field: value})


BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "truncated": (lambda text: text[:100], ""),
    "empty": (lambda text: "", ""),
    "not JSON": (lambda text: "NodeId: here", ""),
    "zero bytes": (lambda text: "\0" * len(text), ""),
    "trailing characters": (lambda text: text + "}", ""),
    "NodeId missing": (without("NodeId"), "NodeId"),
    "NumUnits missing": (without("NumUnits"), "NumUnits"),
    "NodeId is a number": (with_value("NodeId", 5), "NodeId"),
    "NodeId too short": (with_value("NodeId", "AAAA"), "NodeId"),
    "CommitmentAtxId not base64": (with_value("CommitmentAtxId", "?" * 44), "CommitmentAtxId"),
    "LabelsPerUnit is a string": (with_value("LabelsPerUnit", "64"), "LabelsPerUnit"),
    "NumUnits with a fraction": (with_value("NumUnits", 4.0), "NumUnits"),
    "NumUnits negative": (with_value("NumUnits", -4), "NumUnits"),
    "MaxFileSize null": (with_value("MaxFileSize", None), "MaxFileSize"),
    "Nonce is a list": (with_value("Nonce", [1]), "Nonce"),
    "LastPosition too big": (with_value("LastPosition", 2**64), "LastPosition"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_metadata_truncated_not_json_wrong_types(half: Path, name: str) -> None:
    change, field = BROKEN[name]
    cli.edit_metadata(half, change)
    before = snapshot(half)
    for words in (JOB.options(half), JOB.options(half, "--yes"), ["info", half], ["verify", half], ["repair", half]):
        smesher(*words).refused(1, half / "postdata_metadata.json", field, "expected" if field else ":")
        assert snapshot(half) == before, words[0]
    assert smesher(*JOB.options(half), "--json").last["code"] == 1


def test_metadata_broken_without_labels_is_overwritten_with_yes(tmp_path: Path) -> None:
    directory = tmp_path / "post"
    directory.mkdir()
    (directory / "postdata_metadata.json").write_text('{"NodeId": "')
    before = snapshot(directory)
    JOB.init(directory).refused(1, directory / "postdata_metadata.json", "--yes")
    assert snapshot(directory) == before
    JOB.init(directory, "--yes").ok()
    is_complete(directory)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="made on Windows (CRLF)"),
        pytest.param(lambda text: text.replace("NodeId", "nodeid").replace("NumUnits", "NUMUNITS"), id="any key case"),
        pytest.param(lambda text: text.replace('=",', '",'), id="base64 without padding"),
        pytest.param(lambda text: text.replace("{", '{"Nonce": null, "LastPosition": null, "X": 1,', 1), id="null"),
        pytest.param(lambda text: json.dumps(json.loads(text)) + "\n", id="one line"),
    ],
)
def test_metadata_that_either_reader_accepts(half: Path, change: Callable[[str], str]) -> None:
    # the nonce of this set is in what is missing, so nothing of it can have been there
    cli.edit_metadata(half, lambda text: change(encode(replace(JOB.metadata(), nonce=None, nonce_value=None))))
    JOB.init(half).ok()
    assert cli.data_files(half) == JOB.files()
    expected = json.loads(encode(JOB.metadata()))
    found = json.loads(cli.metadata_text(half))
    assert {key: value for key, value in found.items() if key != "X"} == expected
    assert ("X" in found) == ('"X"' in change(encode(JOB.metadata())))  # an unknown field is kept


@pytest.mark.parametrize("complete", [True, False], ids=["complete", "incomplete"])
def test_nonce_value_null(tmp_path: Path, complete: bool) -> None:
    directory = JOB.make(tmp_path / "post")
    if not complete:
        os.truncate(directory / "postdata_3.bin", 160)
    cli.edit_metadata(directory, with_value("NonceValue", None))
    JOB.init(directory).ok()
    is_complete(directory)


def test_nonce_value_null_without_a_nonce_does_not_hide_the_candidates(tmp_path: Path) -> None:
    directory = JOB.make(tmp_path / "post")
    for path in directory.glob("*.bin"):
        path.unlink()
    (directory / "postdata_0.bin").write_bytes(JOB.data()[:16])
    cli.edit_metadata(directory, lambda text: with_value("NonceValue", None)(without("Nonce")(text)))
    JOB.init(directory).ok()
    is_complete(directory)
