"""What `smesher init` makes: data, metadata, identity; growing, parts, the search beyond the data."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.post.rules import vrf_difficulty
from prover.post.metadata import encode
from tests.api.cli.data.init.jobs import JOB, is_complete
from tests.support import cli
from tests.support.cli import ATX_ID, NO_NONCE_IN_64, NODE_ID, Job, smesher, snapshot

# == what init makes ===========================================================================================


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vector" in metafunc.fixturenames:
        file = Path(metafunc.config.getoption("--vectors")) / "post" / "pos.json"
        cases = json.loads(file.read_text())["cases"] if file.is_file() else []
        metafunc.parametrize("vector", cases, ids=[case["name"] for case in cases])


def test_data_and_metadata_as_the_reference_makes_them(tmp_path: Path, vector: dict[str, Any]) -> None:
    job = Job(
        units=vector["num_units"],
        labels_per_unit=int(vector["labels_per_unit"]),
        max_file_size=int(vector["max_file_size"]),
        scrypt_n=vector["n"],
        atx_id=vector["commitment_atx_id"],
        node_id=vector["node_id"],
    )
    result = job.init(tmp_path / "post", "--json")
    if job.num_labels < 9:
        result.refused(2, "9")
        return
    if job.max_file_size % 16:
        result.refused(2, "--max-file-size", job.max_file_size, "multiple of 16", job.max_file_size // 16 * 16)
        return
    go = vector["post_go"]
    assert cli.metadata_text(tmp_path / "post") == go["metadata_text"]
    files = sorted(cli.data_files(tmp_path / "post").items(), key=lambda item: int(re.sub(r"\D", "", item[0])))
    assert hashlib.sha256(b"".join(content for _, content in files)).hexdigest() == vector["all_labels_sha256"]
    if isinstance(vector["files"], list):
        assert [
            {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files
        ] == vector["files"]
    last = result.last
    assert (last["event"], last["labels"], last["complete"]) == ("done", job.num_labels, True)
    assert (str(last["nonce"]), last["nonce_value"]) == (go["nonce"], go["nonce_value"])


def test_file_modes(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        job = replace(JOB, atx_id=ATX_ID)
        options = job.options(tmp_path / "a" / "post")
        at = options.index("--node-id")
        smesher(*options[:at], *options[at + 2 :]).ok()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "post").stat().st_mode) == 0o700
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a" / "post").iterdir()}
    names = {*JOB.files(), "postdata_metadata.json", "smesher.json", "identity.key"}
    assert files == dict.fromkeys(names, 0o600)


def test_scrypt_n_is_recorded(tmp_path: Path) -> None:
    JOB.init(tmp_path / "post").ok()
    assert json.loads((tmp_path / "post" / "smesher.json").read_text()) == {"ScryptN": 2}


def test_scrypt_n_is_recorded_for_complete_data_of_other_programs(tmp_path: Path) -> None:
    directory = JOB.make(tmp_path / "post", record=False)
    JOB.init(directory).ok()
    assert json.loads((directory / "smesher.json").read_text())["ScryptN"] == 2
    is_complete(directory)


def test_any_number_of_threads_makes_the_same_bytes(tmp_path: Path) -> None:
    for threads in (1, 2, 5):
        JOB.init(tmp_path / str(threads), "--threads", threads).ok()
        is_complete(tmp_path / str(threads))


def test_complete_data_is_left_as_it_is(filled: Path) -> None:
    before = snapshot(filled)
    result = JOB.init(filled, "--json").ok()
    assert snapshot(filled) == before
    assert (result.last["labels"], result.last["complete"]) == (0, True)


def test_resume_needs_only_the_parameters_of_the_network(half: Path) -> None:
    smesher("init", "--data-dir", half, "--labels-per-unit", 64, "--scrypt-n", 2, "--cpu").ok()
    is_complete(half)


def test_network_presets(tmp_path: Path) -> None:
    smesher(
        *("init", "--data-dir", tmp_path / "fast", "--num-units", 2, "--network", "fastnet", "--cpu"),
        *("--node-id", NODE_ID, "--commitment-atx-id", ATX_ID),
    ).ok()
    is_complete(tmp_path / "fast", Job(units=2, labels_per_unit=128, max_file_size=2**32))


@pytest.mark.parametrize(
    ("more", "facts"),
    [
        (["--network", "fastnett"], ["fastnett", "fastnet", "mainnet"]),
        (["--num-units", 5, "--max-num-units", 4], ["--num-units", "5", "4"]),
        (["--num-units", 1, "--min-num-units", 2], ["--num-units", "1", "2"]),
        (["--num-units", 0], ["--num-units", "0"]),
        (["--labels-per-unit", 0], ["--labels-per-unit"]),
        (["--labels-per-unit", 2], ["8 labels", "9"]),
        (["--labels-per-unit", 2**62], ["--num-units", "--labels-per-unit"]),
        (["--max-file-size", 1000], ["--max-file-size", "1000", "1024"]),
        (["--max-file-size", 1030], ["--max-file-size", "1030", "16", "1024"]),
        (["--scrypt-n", 0], ["0", "power of two"]),
        (["--scrypt-n", 1], ["1", "power of two"]),
        (["--scrypt-n", 100], ["100", "power of two"]),
        (["--commitment-atx-id", "22" * 31], ["--commitment-atx-id", "62", "64"]),
        (["--commitment-atx-id", "zz" * 32], ["--commitment-atx-id", "hex"]),
        (["--node-id", "11"], ["--node-id", "64"]),
        (["--from-file", -1], ["--from-file", "-1"]),
        (["--to-file", 4], ["--to-file", "4"]),
        (["--from-file", 2, "--to-file", 1], ["--from-file 2", "--to-file 1"]),
        (["--threads", 0], ["--threads"]),
        (["--throttle", 0], ["--throttle"]),
        (["--throttle", 101], ["--throttle", "101"]),
        (["--throttle", "much"], ["--throttle", "much"]),
        (["--num-units", "x"], ["--num-units", "x"]),
        (["--nonsense"], ["--nonsense"]),
        (["--identity", "/nowhere"], ["--identity", "--node-id"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_parameters_that_make_no_sense(tmp_path: Path, more: list[object], facts: list[str]) -> None:
    JOB.init(tmp_path / "post", *more).refused(2, *facts)
    result = JOB.init(tmp_path / "post", *more, "--json")
    assert (result.last["event"], result.last["code"]) == ("error", 2)
    assert all(fact in result.last["message"] for fact in facts)
    assert result.err == ""
    assert not any((tmp_path / "post").glob("*"))


@pytest.mark.parametrize("missing", ["--num-units", "--commitment-atx-id", "--data-dir"])
def test_what_a_new_directory_needs(tmp_path: Path, missing: str) -> None:
    options = JOB.options(tmp_path / "post")
    at = options.index(missing)
    smesher(*options[:at], *options[at + 2 :]).refused(2, missing)
    assert not (tmp_path / "post").exists()


# -- identity --------------------------------------------------------------------------------------------------


def without_identity(directory: Path, *more: object) -> list[object]:
    """The options of `JOB` without a node id."""
    options = JOB.options(directory, *more)
    at = options.index("--node-id")
    return [*options[:at], *options[at + 2 :]]


def make_key(path: Path) -> str:
    """Writes a key file; returns its node id."""
    from nacl.signing import SigningKey

    key = SigningKey(hashlib.sha256(str(path).encode()).digest())
    path.write_text(key.encode().hex() + key.verify_key.encode().hex())
    return key.verify_key.encode().hex()


def test_an_identity_is_made_once_and_never_overwritten(tmp_path: Path) -> None:
    from nacl.signing import SigningKey

    directory = tmp_path / "post"
    smesher(*without_identity(directory)).ok().refused(0, directory / "identity.key", "secret")
    key_file = directory / "identity.key"
    written = key_file.read_bytes()
    assert re.fullmatch(rb"[0-9a-f]{128}", written)
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    key = bytes.fromhex(written.decode())
    assert SigningKey(key[:32]).verify_key.encode() == key[32:]
    assert cli.metadata_of(directory).node_id == key[32:]
    before = snapshot(directory)
    smesher(*without_identity(directory)).ok()
    smesher(*without_identity(directory, "--node-id", key[32:].hex())).ok()
    assert snapshot(directory) == before
    # the data goes, the key stays and counts
    for path in directory.iterdir():
        if path.name != "identity.key":
            path.unlink()
    result = smesher(*without_identity(directory, "--json")).ok()
    assert result.last["node_id"] == key[32:].hex()
    assert key_file.read_bytes() == written
    assert written.decode() not in result.text


def test_no_identity_is_made_when_one_is_given(tmp_path: Path) -> None:
    JOB.init(tmp_path / "a").ok()
    node_id = make_key(tmp_path / "my.key")
    result = smesher(*without_identity(tmp_path / "b", "--identity", tmp_path / "my.key", "--json")).ok()
    assert result.last["node_id"] == node_id
    is_complete(tmp_path / "b", replace(JOB, node_id=node_id))
    assert not (tmp_path / "a" / "identity.key").exists()
    smesher(*without_identity(tmp_path / "b", "--identity", tmp_path / "my.key")).ok()


@pytest.mark.parametrize("how", ["--node-id", "--identity", "metadata"])
def test_an_identity_that_does_not_match(filled: Path, tmp_path: Path, how: str) -> None:
    in_directory = make_key(filled / "identity.key")
    other = make_key(tmp_path / "other.key")
    more = {"--node-id": ["--node-id", other], "--identity": ["--identity", tmp_path / "other.key"], "metadata": []}
    before = snapshot(filled)
    asked = NODE_ID if how == "metadata" else other
    smesher(*without_identity(filled, *more[how])).refused(2, "identity.key", in_directory, asked)
    assert snapshot(filled) == before


@pytest.mark.parametrize("content", ["", "ab" * 63, "zz" * 64, "ab" * 64])
def test_an_identity_that_is_none(tmp_path: Path, content: str) -> None:
    key = tmp_path / "post" / "identity.key"
    key.parent.mkdir()
    key.write_text(content)
    result = smesher(*without_identity(tmp_path / "post")).refused(2, key)
    assert not content or content not in result.text, "the key was shown"
    assert key.read_text() == content
    smesher(*without_identity(tmp_path / "b", "--identity", key)).refused(2, key)


def test_an_identity_file_that_is_not_there(tmp_path: Path) -> None:
    smesher(*without_identity(tmp_path / "post", "--identity", tmp_path / "no.key")).refused(2, tmp_path / "no.key")
    assert not (tmp_path / "post").exists()


# -- growing ---------------------------------------------------------------------------------------------------


def commitment_atx(fits: Callable[[Job], bool], job: Job) -> Job:
    """The first of the jobs with commitment ATX 0, 1, 2 … that fits."""
    return next(one for number in range(1000) if fits(one := replace(job, atx_id=f"{number:064x}")))


@pytest.mark.parametrize("complete", [True, False], ids=["complete", "incomplete"])
@pytest.mark.parametrize("kept", [True, False], ids=["nonce kept", "nonce dropped"])
def test_grow(tmp_path: Path, kept: bool, complete: bool) -> None:
    small = Job(units=3, labels_per_unit=100, max_file_size=2048)
    stricter = vrf_difficulty(1000)

    def fits(job: Job) -> bool:
        (_, label), (_, beyond) = job.smallest(), job.smallest(300, 700)
        # kept: valid for the larger set, and smaller than all of the new part
        return (label < stricter) == kept and (label < vrf_difficulty(300)) and (label < beyond) == kept

    job = commitment_atx(fits, small)
    grown = replace(job, units=10)
    directory = job.make(tmp_path / "post")
    if not complete:
        os.truncate(directory / "postdata_2.bin", 100)
    result = grown.init(directory, "--grow", "--json").ok()
    is_complete(directory, grown)
    assert (cli.metadata_of(directory).nonce == job.metadata().nonce) == kept
    assert result.last["labels"] == (700 if complete else 700 + 44 - 6)
    assert (result.last["complete"], result.last["labels_on_disk"]) == (True, 1000)


def test_grow_searches_beyond_when_no_label_suffices(tmp_path: Path) -> None:
    small = Job(units=1, atx_id=f"{3240:064x}", labels_per_unit=32)
    directory = small.make(tmp_path / "post")
    grown = replace(small, units=2)
    assert cli.metadata_of(directory).nonce is None or grown.smallest()[1] >= vrf_difficulty(64)
    grown.init(directory, "--grow").ok()
    assert cli.data_files(directory) == grown.files()
    metadata = cli.metadata_of(directory)
    assert metadata.nonce == grown.smallest(64, 2**20)[0]
    assert metadata.last_position == 64


def test_grow_with_the_same_or_fewer_units_grows_nothing(filled: Path) -> None:
    JOB.init(filled, "--grow").ok()
    is_complete(filled)
    JOB.init(filled, "--grow", "--num-units", 3).refused(2, "--yes")
    is_complete(filled)


# -- the search beyond the data --------------------------------------------------------------------------------


def test_no_nonce_in_the_data(tmp_path: Path) -> None:
    job = Job(units=1, atx_id=NO_NONCE_IN_64)
    result = job.init(tmp_path / "post", "--json").ok()
    index, label = job.smallest(64, 2**20)
    assert cli.data_files(tmp_path / "post") == job.files()
    expected = replace(job.metadata(), nonce=index, nonce_value=label[:16], last_position=64)
    assert cli.metadata_text(tmp_path / "post") == encode(expected)
    assert (result.last["nonce"], result.last["nonce_value"]) == (index, label[:16].hex())
    assert result.last["labels"] == 64
    before = snapshot(tmp_path / "post")
    job.init(tmp_path / "post").ok()
    assert snapshot(tmp_path / "post") == before


def test_no_search_beyond_the_data_in_a_part_of_the_files(tmp_path: Path) -> None:
    # file 0 holds all that an honest set of 64 labels would, and none of it is a nonce for 128 either
    job = Job(units=2, atx_id=NO_NONCE_IN_64)
    result = job.init(tmp_path / "post", "--from-file", 0, "--to-file", 0, "--json").ok()
    assert (result.last["complete"], result.last["nonce"], result.last["nonce_value"]) == (False, None, None)
    assert cli.metadata_of(tmp_path / "post") == replace(job.metadata(), nonce=None, nonce_value=None)


# -- parts of the data -----------------------------------------------------------------------------------------


def test_from_file_and_to_file(tmp_path: Path) -> None:
    directory = tmp_path / "post"
    JOB.init(directory, "--from-file", 1, "--to-file", 2).ok()
    files = JOB.files()
    assert cli.data_files(directory) == {name: files[name] for name in ("postdata_1.bin", "postdata_2.bin")}
    JOB.init(directory, "--to-file", 0).ok()
    JOB.init(directory, "--from-file", 3).ok()
    is_complete(directory)


def test_a_subset_run_still_refuses_what_is_beyond(filled: Path) -> None:
    (filled / "postdata_7.bin").write_bytes(bytes(16))
    before = snapshot(filled)
    JOB.init(filled, "--from-file", 0, "--to-file", 0).refused(1, "postdata_7.bin", "--yes")
    assert snapshot(filled) == before
