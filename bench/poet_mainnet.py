"""A mainnet round in small and in full size: what it takes on disk, and how long its proof takes to draw.

`python -m bench.poet_mainnet` lets the real prover work for some seconds as on mainnet and scales the files up; then
it fills a layer store with as many nodes as a whole round has (about 0.7 GiB in --directory) and draws a proof from it
as at the end of the round, on one core and on all. The nodes are noise, so only their agreement with the leaves that
are made again is not looked at. Protocol 02-poet, sections 3.2 and 13.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from protocol.types.poet import NODE_SIZE, SECURITY_PARAM
from prover.poet.round import layers
from prover.poet.round.extract import Extraction, StopFlag
from prover.poet.round.processors import usable_cores
from prover.poet.round.prove import ProverConfig, RoundProver

ROUND_SECONDS = 324 * 3600
LEAVES_PER_SECOND = 78_000
"""The reference's own estimate; 9.1 × 10^10 leaves in a round."""
STATEMENT = bytes(range(32))
COMMITS = 1024
"""In which the full layer is written; a real round has one a second."""
ALL_KEPT = layers.KEEP_ALL_BYTES // (2 * NODE_SIZE)
"""The most leaves that are all kept."""


def calculated(leaves: int, seconds: int) -> int:
    """Bytes on disk with a checkpoint a second."""
    return layers.disk_bytes(leaves, layers.kept_height(leaves), seconds)


def scaled(directory: Path, seconds: float, leaves: int, round_seconds: int) -> dict[str, Any]:
    """A short piece of such a round by the real prover, and what its files would grow to."""
    config = ProverConfig(directory, expected_leaves=leaves, checkpoint_s=1.0, security_param=1)
    prover = RoundProver(config, STATEMENT)
    proof = prover.run(time.time() + seconds)
    nodes, log = (directory / name for name in (layers.NODES_FILE, layers.LOG_FILE))
    whole = proof.num_leaves >> prover.kept_height
    a_leaf = nodes.stat().st_size / max(whole << prover.kept_height, 1)
    found = layers.open_log(directory, STATEMENT, prover.kept_height)
    a_checkpoint = log.stat().st_size / max(found.records, 1)
    return {
        "leaves": proof.num_leaves,
        "kept_height": prover.kept_height,
        "bytes": nodes.stat().st_size + log.stat().st_size,
        "bytes_of_a_round": round(a_leaf * leaves + a_checkpoint * round_seconds),
    }


class _Drawing(Extraction):
    """Draws from nodes that are noise."""

    def _confirm(self, block: int, root: bytes) -> None:
        pass


def filled(directory: Path, leaves: int, height: int) -> layers.KeptLayer:
    """A layer store with all complete nodes of so many leaves."""
    directory.mkdir()
    store = layers.KeptLayer.create(directory, STATEMENT, height)
    noise = np.random.default_rng(1)
    count = leaves >> height
    step = max(1, -(-count // COMMITS))
    for first in range(0, count, step):
        store.append(noise.bytes(NODE_SIZE * min(step, count - first)))
        store.commit()
    return store


def draw(store: layers.KeptLayer, leaves: int, threads: int) -> dict[str, float]:
    """Seconds by the clock and of the processors for drawing the proof of the complete blocks."""
    began, cpu = time.perf_counter(), time.process_time()
    complete = leaves >> store.height << store.height
    _Drawing(store, complete, threads, StopFlag()).prove(SECURITY_PARAM, None)
    return {
        "seconds": round(time.perf_counter() - began, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    leaves = LEAVES_PER_SECOND * ROUND_SECONDS
    figures: dict[str, Any] = {"leaves": leaves, "calculated_bytes": calculated(leaves, ROUND_SECONDS)}
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        figures["scaled_run"] = scaled(Path(directory) / "scaled", arguments.seconds, leaves, ROUND_SECONDS)
        store = filled(Path(directory) / "full", leaves, layers.kept_height(leaves))
        figures["full_layer_bytes"] = (Path(directory) / "full" / layers.NODES_FILE).stat().st_size
        small = filled(Path(directory) / "small", ALL_KEPT, layers.kept_height(ALL_KEPT))
        figures["all_kept_bytes"] = (Path(directory) / "small" / layers.NODES_FILE).stat().st_size
        for threads in sorted({1, usable_cores()}):
            for name, one, count in (("draw", store, leaves), ("draw_all_kept", small, ALL_KEPT)):
                figures[f"{name}_on_{threads}"] = draw(one, count, threads)
        store.close()
        small.close()
    return figures


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Disk and proof of a mainnet round.")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the scaled run (default 20)")
    parser.add_argument("--directory", default=None, help="where some 0.8 GiB are written for a while")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
