"""Sequential work: leaves a second against the latency of one hash, verification, a whole round with its proof.

The leaf rate, the chain and hashlib are measured in turns in one thread; the round shows what checkpoints and the tree
cost beside the bare loop, and what drawing a proof costs. A whole server under load is measured by `bench.poet_rate`
and `bench.poet_server`, a mainnet round by `bench.poet_mainnet`. Protocol 02-poet, section 3.1.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.settings import Settings
from kernels.posw import ripemd, sha256
from prover.measure.poet import STATEMENT, measure
from prover.poet.round import layers
from prover.poet.round.prove import ProverConfig, RoundProver
from prover.poet.round.verify import Task, verify_many

MAINNET_LEAVES = 324 * 3600 * 78_000
MAINNET_SECONDS = 324 * 3600
DRAWN_HEIGHT = 12
BATCH = 10_000
"""Proofs that are verified on each number of threads in half a second a measurement; fewer in a shorter one."""
NONCES = 4_000_000


def run(settings: Settings, show: Callable[[object], None]) -> dict[str, object]:
    """All figures; `show` prints them as they come."""
    figures = measure(settings.seconds * settings.rounds * 4)
    show(
        f"{figures.leaves_per_cpu_second:,.0f} leaves per CPU second; one hash {figures.compression_ns:.1f} ns, so "
        f"{100 * figures.leaves_per_cpu_second / figures.bound:.1f} % of what 411 dependent hashes allow"
    )
    show(
        f"hashlib: {figures.hashlib_chained_ns:.0f} ns a hash in a loop, {figures.hashlib_update_ns:.1f} ns a block; "
        f"verification {figures.verify_us:.0f} µs"
    )
    results: dict[str, object] = {**figures.as_json(), "mainnet_disk_bytes": mainnet_disk_bytes()}
    results |= checkpoints(settings, show)
    results |= drawing(settings, show)
    results |= searching(settings, show)
    return results


def mainnet_disk_bytes() -> int:
    """Disk of a mainnet round with a checkpoint a second."""
    return layers.disk_bytes(MAINNET_LEAVES, layers.kept_height(MAINNET_LEAVES), MAINNET_SECONDS)


def checkpoints(settings: Settings, show: Callable[[object], None]) -> dict[str, object]:
    """The rate of a round with its checkpoints against the bare loop, by the wall clock, in turns."""
    leaves = max(5_000, int(settings.seconds * 60_000))
    ratios = []
    for _ in range(settings.rounds):
        bare = _bare_rate(leaves)
        with tempfile.TemporaryDirectory(dir=settings.directory) as directory:
            config = ProverConfig(Path(directory), kept_height=DRAWN_HEIGHT, checkpoint_s=0.2, security_param=1)
            prover = RoundProver(config, STATEMENT)
            prover.run(leaves=leaves)
            ratios.append(prover.mean_rate / bare)
    lost = 100 * (1 - float(np.median(ratios)))
    show(f"a round with checkpoints every 0.2 s is {lost:.1f} % slower than the bare loop")
    return {"checkpoint_loss_percent": round(lost, 2)}


def _bare_rate(leaves: int) -> float:
    control = np.zeros(3, np.int64)
    control[sha256.LIMIT] = control[sha256.TAKEN] = leaves
    ring = np.zeros(32 * 64, np.uint8)
    statement = sha256.as_array(STATEMENT)
    began = time.perf_counter()
    sha256.advance(statement, sha256.new_slots(), ring, DRAWN_HEIGHT, control)
    return leaves / (time.perf_counter() - began)


def drawing(settings: Settings, show: Callable[[object], None]) -> dict[str, object]:
    """Regenerating blocks, which is what drawing a proof costs; and proofs verified in a batch."""
    with tempfile.TemporaryDirectory(dir=settings.directory) as directory:
        proof = RoundProver(ProverConfig(Path(directory), kept_height=0), STATEMENT).run(leaves=4_096)
    blocks, height = 4, 9
    starts = np.arange(blocks, dtype=np.int64) << height
    slots = np.zeros((blocks, len(sha256.new_slots())), np.uint8)
    counts = np.full(blocks, 1 << height, np.int64)
    sha256.regenerate(STATEMENT, height, starts, counts, slots.copy())
    began = time.thread_time()
    sha256.regenerate(STATEMENT, height, starts, counts, slots.copy())
    rate = (blocks << height) / (time.thread_time() - began)
    mainnet = 150 * (1 << DRAWN_HEIGHT) / rate
    rates = _verified(Task(proof.merkle_proof, STATEMENT, proof.num_leaves), settings)
    show(f"regenerated: {rate:,.0f} leaves a second and core, {mainnet:.1f} s for the blocks of a mainnet proof")
    show(
        "verified in a batch: "
        + ", ".join(
            f"{rate:,.0f}/s on {count} ({cpu:.0f} µs of processor each)" for count, (rate, cpu) in rates.items()
        )
    )
    return {
        "regenerated_leaves_per_cpu_second": round(rate),
        "mainnet_blocks_seconds": round(mainnet, 2),
        "verified_per_second": {str(count): round(rate, 1) for count, (rate, _) in rates.items()},
        "verified_cpu_us": {str(count): round(cpu, 1) for count, (_, cpu) in rates.items()},
    }


def _verified(task: Task, settings: Settings) -> dict[int, tuple[float, float]]:
    """Proofs a second and microseconds of processor each, on one thread and on all, in turns."""
    a_turn = max(50, int(BATCH * settings.seconds / 0.5 / settings.rounds))
    wall, cpu = (dict.fromkeys(sorted({1, settings.threads}), 0.0) for _ in range(2))
    for _ in range(settings.rounds):
        for threads in wall:
            began, spent = time.perf_counter(), time.process_time()
            verdicts = verify_many([task] * a_turn, threads)
            wall[threads] += time.perf_counter() - began
            cpu[threads] += time.process_time() - spent
            assert not any(verdicts), "the proof holds"
    count = a_turn * settings.rounds
    return {threads: (count / wall[threads], 1e6 * cpu[threads] / count) for threads in wall}


def searching(settings: Settings, show: Callable[[object], None]) -> dict[str, object]:
    """Nonces a second of one core that looks for a registration's proof of work."""
    beginning = bytes(range(96))
    count = int(NONCES * min(1.0, settings.seconds))
    ripemd.search(beginning, 256, 0, 1000)
    rates = []
    for _ in range(settings.rounds):
        before = time.thread_time()
        ripemd.search(beginning, 256, 0, count)
        rates.append(count / (time.thread_time() - before))
    rate = float(np.median(rates))
    show(f"search for a proof of work: {rate / 1e6:.1f} million hashes a second and core")
    return {"pow_hashes_per_cpu_second": round(rate)}
