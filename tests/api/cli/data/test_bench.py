"""The benchmarks run and report what they say they do; no test asserts a speed."""

import json
import os
import threading
from pathlib import Path

import pytest

from api.cli.data import bench as measuring
from api.cli.main import main
from api.edge.errors import Interrupted
from bench import __main__ as benches
from bench import init, labels
from bench.settings import Settings, smesher

PAIR = {"threads", "engine", "hashlib", "ratio", "engine_rounds", "hashlib_rounds"}


def quick(directory: Path, scrypt_n: int = 2) -> Settings:
    return Settings(threads=2, seconds=0.01, rounds=2, scrypt_n=scrypt_n, directory=directory)


def test_the_command_reports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--json", "--threads", "2", "--scrypt-n", "16", "--seconds", "0.2"]) == 0
    done = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert done["event"] == "done"
    assert done["scrypt_n"] == 16
    for name, threads in (("one_core", 1), ("all_cores", 2)):
        assert set(done[name]) == PAIR
        assert done[name]["threads"] == threads
        assert len(done[name]["engine_rounds"]) == len(done[name]["hashlib_rounds"]) == measuring.ROUNDS >= 5
        assert min(done[name]["engine"], done[name]["hashlib"], done[name]["ratio"]) > 0
    assert done["scaling"] > 0
    assert done["labels_per_second"] == done["all_cores"]["engine"]
    assert {"cpu", "variant", "python", "numba", "load_average", "date"} <= set(done["machine"])


def test_one_thread_is_measured_once_and_a_table_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--threads", "1", "--scrypt-n", "2", "--seconds", "0.1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("hashlib.scrypt" in line for line in lines)
    assert sum(line.count("│") == 7 for line in lines) == 1


@pytest.mark.parametrize("words", [["--scrypt-n", "3"], ["--seconds", "0"], ["--seconds", "nan"], ["--threads", "0"]])
def test_senseless_options_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--json", *words]) == 2
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["code"] == 2


def test_an_n_that_openssl_refuses_has_no_ratio() -> None:
    result = measuring.compare(1 << 16, 1, 0.001, rounds=1).as_json()
    assert result["one_core"]["hashlib"] is None  # type: ignore[index]
    assert result["one_core"]["ratio"] is None  # type: ignore[index]
    measuring.table([measuring.compare(1 << 16, 1, 0.001, rounds=1)])


def test_figures_are_medians_of_pairs() -> None:
    one = measuring.Pair(1, (10.0, 30.0, 20.0), (1.0, 10.0, 4.0))
    several = measuring.Pair(2, (19.0, 51.0, 40.0), (2.0, 20.0, 8.0))
    both = measuring.Comparison(8192, one, several)
    assert (one.engine_rate, one.hashlib_rate, one.ratio) == (20.0, 4.0, 5.0)
    assert both.scaling == 1.9
    assert both.best is several


def test_labels_are_counted_over_all_threads() -> None:
    passes = [0, 0]

    def work(number: int) -> int:
        threading.Event().wait(0.01)
        passes[number] += 1
        return 10

    rate = measuring.rate([lambda: work(0), lambda: work(1)], 0.1, threading.Event())
    assert min(passes) > 1
    assert 0 < rate <= 2 * 10 / 0.01
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Interrupted):
        measuring.rate([lambda: 1], 9, stopped)
    with pytest.raises(ZeroDivisionError):
        measuring.rate([lambda: work(0), lambda: 1 // 0], 0.01, threading.Event())


def test_parts_of_the_label_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(labels, "LARGEST_N", 8)
    assert [row["scrypt_n"] for row in labels.by_n(quick(tmp_path), shown.append)] == [2, 4, 8]
    figures = labels.writing(quick(tmp_path), shown.append)
    assert figures["bytes"] == 2 << 20
    assert figures["storage_bytes_per_second"] > 0 < figures["plain_bytes_per_second"]  # type: ignore[operator]
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(labels.target, "supported_variants", lambda: (labels.target.variant().name,))
    (row,) = labels.variants(quick(tmp_path), shown.append)
    assert row["variant"] == labels.target.variant().name
    assert set(row) == PAIR | {"variant"}
    assert len(shown) == 3


def test_the_init_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init, "ROUNDS", 1)
    shown: list[object] = []
    figures = init.run(quick(tmp_path), shown.append)
    assert figures["labels"] >= 1024  # type: ignore[operator]
    assert figures["share"] > 0  # type: ignore[operator]
    assert 10e6 < figures["peak_memory_bytes"] < 10e9  # type: ignore[operator]
    assert os.listdir(tmp_path) == []


def test_a_program_that_fails_says_so() -> None:
    assert smesher(["init", "--json"]).code == 2


def test_results_go_into_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "run", lambda settings, show: {"threads": settings.threads})
    assert benches.main(["labels", "--json", str(tmp_path / "r.json"), "--threads", "3"]) == 0
    results = json.loads((tmp_path / "r.json").read_text())
    assert results["labels"] == {"threads": 3}
    assert {"machine", "rounds", "load_average_after"} <= set(results)
    with pytest.raises(SystemExit):
        benches.main(["nothing"])
    with pytest.raises(SystemExit):
        benches.main(["--seconds", "0"])
