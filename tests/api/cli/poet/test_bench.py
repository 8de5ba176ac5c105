"""The PoET benchmarks run and report what they say they do; no test asserts a speed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import pytest

from bench import poet, poet_mainnet, poet_rate, poet_server
from bench.settings import Settings
from prover.poet.round import layers


def test_parts_of_the_poet_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poet, "NONCES", 100_000)
    settings = Settings(threads=2, seconds=0.02, rounds=2, directory=tmp_path)
    shown: list[object] = []
    figures = poet.drawing(settings, shown.append) | poet.searching(settings, shown.append)
    assert set(figures["verified_per_second"]) == set(figures["verified_cpu_us"]) == {"1", "2"}  # type: ignore[call-overload]
    assert figures["pow_hashes_per_cpu_second"] > 0  # type: ignore[operator]
    assert figures["mainnet_blocks_seconds"] > 0  # type: ignore[operator]
    assert len(shown) == 3
    assert poet.mainnet_disk_bytes() < 2 << 30


def test_a_piece_of_a_mainnet_round_grows_to_what_is_calculated(tmp_path: Path) -> None:
    """The prover's own files after some seconds, scaled up, against the formula."""
    leaves, seconds = poet_mainnet.LEAVES_PER_SECOND * poet_mainnet.ROUND_SECONDS, poet_mainnet.ROUND_SECONDS
    found = poet_mainnet.scaled(tmp_path, 2.5, leaves, seconds)
    assert found["kept_height"] == layers.kept_height(leaves) == 12
    calculated = poet_mainnet.calculated(leaves, seconds)
    # the log's header and last record weigh more in a short round; nothing else differs
    assert 0.95 * calculated < found["bytes_of_a_round"] < 1.25 * calculated
    assert found["bytes_of_a_round"] < 2 << 30


def test_drawing_from_a_layer_that_is_noise(tmp_path: Path) -> None:
    leaves, height = 40_000, 3
    store = poet_mainnet.filled(tmp_path / "full", leaves, height)
    assert store.durable == leaves >> height
    assert set(poet_mainnet.draw(store, leaves, 2)) == {"seconds", "cpu_seconds"}
    store.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_submits_are_counted_and_none_is_lost(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    arguments = argparse.Namespace(
        submits=200, connections=8, difficulty=2, silent=3, slow=3, directory=str(tmp_path), json=True
    )
    try:
        figures = poet_server.measure(arguments)
    finally:
        os.sched_setaffinity(0, before)
    assert (figures["submits"], figures["refused"], figures["lost_after_kill"]) == (200, 0, 0)
    assert figures["idle_after_load_mb"] > 10
    json.dumps(figures)


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="reads /proc, needs two processors"
)
def test_the_rate_of_a_whole_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.sched_getaffinity(0)
    monkeypatch.setattr(poet_rate, "SETTLE_S", 0.1)
    arguments = argparse.Namespace(rate=50.0, seconds=0.5, rounds=1, kills=1, cpu=None, directory=str(tmp_path))
    try:
        figures = poet_rate.measure(arguments)
    finally:
        os.sched_setaffinity(0, before)
    assert figures["hashing_cpu"] in before
    assert figures["refused"] == 0 < figures["accepted"]
    assert min(figures["loop_alone"], figures["idle"], figures["loaded"]) > 0
    assert figures["most_lost_by_a_kill_seconds"] < 30
    json.dumps(figures)
