"""`smesher profile`: what it measures and how it says it, its options, and files that it leaves alone."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest

from kernels.scan import aes
from prover.errors import EnvironmentFault, Interrupted
from prover.measure import proving as profiling
from prover.measure.proving import GIB, PassRate, PowCost, provable_units
from tests.support.cli import Result, smesher
from tests.support.proving import ANY_HASH, JOB, kept_randomx

__all__ = ["kept_randomx"]

SIZE = 3 << 20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data.bin"


def proving(*more: object) -> Result:
    return smesher("profile", "proving", "--data-size", SIZE / GIB, "--duration", 1, "--nonces", 16, *more)


def test_a_pass_is_measured(file: Path) -> None:
    result = proving("--data-file", file, "--threads", 2, "--json").ok()
    done = result.last
    assert file.stat().st_size == SIZE
    assert done["time_s"] >= 1 and done["speed_gib_s"] > 0 and done["path"] == aes.name()
    passes = done["speed_gib_s"] * done["time_s"] * GIB / SIZE
    assert passes == pytest.approx(round(passes), rel=1e-4), "whole passes"
    assert done["window_s"] == 12 * 3600
    assert done["provable_units"] == int(0.7 * 12 * 3600 * done["speed_gib_s"] / 18 / 64)


def test_the_page_cache_is_emptied_before_each_pass(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[Path] = []
    monkeypatch.setattr(profiling, "drop_from_cache", dropped.append)
    done = proving("--data-file", file, "--json").ok().last
    assert set(dropped) == {file}
    assert len(dropped) == round(done["speed_gib_s"] * done["time_s"] * GIB / SIZE)


def test_people_are_told_how_many_units_that_is(file: Path) -> None:
    out = " ".join(smesher("profile", "--data-file", file, "--data-size", "0.001", "--duration", 1).ok().out.split())
    assert "mainnet gives 12 h" in out and "space units" in out and "of 64 GiB" in out
    out = " ".join(proving("--data-file", file, "--network", "testnet").ok().out.split())
    assert "testnet gives 2 h" in out


def test_without_a_file_one_is_made_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    proving("--threads", 1, "--pin").ok()
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_measure(file: Path) -> None:
    words = ["--data-size", 0, "--duration", 0, "--nonces", 16, "--data-file", file]
    smesher("profile", "proving", *words, "--json").refused(2, "--duration is 0", "nothing would be measured")


def test_a_file_is_extended_and_never_shortened(file: Path) -> None:
    file.write_bytes(b"x" * 1000)
    profiling.fill_file(file, 5000, threading.Event())
    content = file.read_bytes()
    assert len(content) == 5000 and content[:1000] == b"x" * 1000 and len(set(content[1000:])) > 200
    profiling.fill_file(file, 10, threading.Event())
    assert file.read_bytes() == content


def test_post_data_is_read_and_never_extended(tmp_path: Path) -> None:
    data = JOB.make(tmp_path / "data")
    before = (data / "postdata_1.bin").read_bytes()
    proving("--data-file", data / "postdata_1.bin").refused(2, "PoST data", 1024)
    smesher("profile", "--data-file", data / "postdata_1.bin", "--data-size", 1024 / GIB, "--duration", 1).ok()
    assert (data / "postdata_1.bin").read_bytes() == before


@pytest.mark.usefixtures("kept_randomx")
def test_proofs_of_work_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--iterations", 3, "--randomx-mode", "light", "--difficulty", ANY_HASH, "--nonces", 32, "--num-units", 3]
    last = smesher("profile", "pow", *words, "--json").ok().last
    assert last["iterations"] == 3 and set(last["randomx_vm_init_time"]) == {"secs", "nanos"}
    average = last["average_time"]["secs"] + last["average_time"]["nanos"] / 1e9
    assert average == pytest.approx(2 * 3 / last["hashes_per_second"], rel=1e-3)
    assert last["randomx_large_pages"] is False
    asked = smesher("profile", "pow", *words, "--threads", 2, "--randomx-large-pages").ok()
    assert " ".join(asked.text.split()).count("The system has no large pages left for RandomX") == 1
    assert "vm.nr_hugepages" in asked.text
    out = " ".join(asked.out.split())
    assert "2 threads" in out and "1.0 hashes are expected" in out and "RandomX (light mode) was ready" in out


@pytest.mark.parametrize(
    ("words", "code", "facts"),
    [
        (["proving", "--nonces", 15], 2, ["nonces", 15]),
        (["proving", "--nonces", 4112], 2, ["nonces", 4112]),
        (["proving", "--nonces", 0], 1, ["--nonces is 0"]),
        (["--data-size", "x"], 2, ["--data-size"]),
        (["--data-size", "-1"], 2, ["--data-size"]),
        (["--data-size", "nan"], 2, ["--data-size"]),
        (["--threads", 9999, "--pin"], 2, ["--threads", 9999]),
        (["--data-file", "/proc/x/y"], 1, ["/proc/x/y", "No such file"]),
        (["--data-file", "/"], 2, ["/", "is a directory"]),
        (["--iterations", 2], 2, ["--iterations", "proving"]),
        (["--network", "none"], 2, ["none"]),
        (["pow", "--difficulty", "00"], 2, ["--difficulty"]),
        (["pow", "--difficulty", "zz" * 32], 2, ["--difficulty"]),
        (["pow", "--iterations", 0], 2, ["--iterations"]),
        (["pow", "--num-units", 0], 2, ["--num-units"]),
        (["pow", "--randomx-mode", "medium"], 2, ["--randomx-mode"]),
        (["pow", "--data-size", 1], 2, ["--data-size", "pow"]),
        (["pow", "--pin"], 2, ["--pin", "pow"]),
        (["labels"], 2, ["labels", "proving"]),
    ],
)
def test_bad_input(words: list[object], code: int, facts: list[object]) -> None:
    smesher("profile", *words).refused(code, *facts)
    assert smesher("profile", *words, "--json").refused(code, *facts).last["code"] == code


def test_units_by_the_networks_rule() -> None:
    assert provable_units(1.0, 288, 12 * 3600, 64 * GIB) == int(0.7 * 43200 / 64)
    assert provable_units(1.0, 64, 12 * 3600, 64 * GIB) == int(0.7 * 43200 / 64 / 5), "five passes"
    assert provable_units(1.0, 4096, 12 * 3600, 64 * GIB) == provable_units(1.0, 288, 12 * 3600, 64 * GIB)
    assert PassRate(0, 0.0).gib_per_second is None


def test_the_cost_of_a_proof_of_work() -> None:
    cost = PowCost(hashes=1000, seconds=10.0, expected_hashes=4687.5)
    assert cost.hashes_per_second == 100
    assert cost.expected_seconds(64, 4) == 4687.5 * 4 * 4 / 100  # 4 units, 4 groups: as in the reference's guide


def test_a_stop_ends_a_measurement(file: Path) -> None:
    stop = threading.Event()
    profiling.fill_file(file, SIZE, stop)
    stop.set()
    with pytest.raises(Interrupted):
        profiling.passes([file], SIZE, nonces=16, threads=1, seconds=60, stop=stop)
    with pytest.raises(Interrupted):
        profiling.fill_file(file, 2 * SIZE, stop)


def test_a_file_that_is_too_short_is_told(file: Path) -> None:
    file.write_bytes(bytes(2 << 20))
    with pytest.raises(EnvironmentFault, match="ends at byte 2097152"):
        profiling.passes([file], SIZE, nonces=16, threads=1, seconds=1, stop=threading.Event())
