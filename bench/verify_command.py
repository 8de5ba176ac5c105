"""`smesher verify-proof` as a whole process, beside a process that does nothing but what nobody can do without.

That is RandomX: its light memory under the network's key, filled by the library, and one hash. The memory belongs to
its process, since the library gives no way to take over one that is filled, so it is filled for every proof that is
verified by a command of its own; services keep theirs. Protocol 01-post, sections 4 and 6.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from bench.settings import ROOT, SMESHER, Settings, Show
from protocol.params.post import MAINNET
from protocol.post.proof import Proof, ProofMetadata, metadata_to_json, proof_to_json

RANDOMX_ALONE = """
from kernels import randomx
from protocol.post.proof import RANDOMX_KEY

machine = randomx.Memory(RANDOMX_KEY).machine()
machine.hash(bytes(48))
"""


def whole_command(
    proof: Proof, metadata: ProofMetadata, labels_per_unit: int, settings: Settings, show: Show
) -> dict[str, object]:
    """Wall and processor time of both, in turns; medians, the first round left out."""
    with tempfile.TemporaryDirectory() as folder:
        files = {"--proof": proof_to_json(proof), "--metadata": metadata_to_json(metadata)}
        words = ["verify-proof", "--pow-difficulty", "ff" * 32, "--min-num-units", "1"]
        words += ["--labels-per-unit", str(labels_per_unit), "--scrypt-n", str(MAINNET.scrypt_n)]
        for option, document in files.items():
            path = Path(folder) / f"{option[2:]}.json"
            path.write_text(json.dumps(document))
            words += [option, str(path)]
        kinds = {"RandomX alone": [RANDOMX_ALONE], "smesher verify-proof": [SMESHER, *words]}
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for number in range(settings.rounds + 1):
            for name, kind in kinds.items():
                figures = _run(kind)
                if number:  # the first time compiles, and reads from the disk
                    taken[name].append(figures)
    table = Table(title="a proof verified by a command of its own, ms", title_justify="left")
    for heading in ("process", "wall", "processor"):
        table.add_column(heading, justify="right")
    found: dict[str, object] = {}
    for name, rounds in taken.items():
        wall, processor = (statistics.median(column) * 1e3 for column in zip(*rounds))
        table.add_row(name, f"{wall:,.0f}", f"{processor:,.0f}")
        found[name] = {"wall_ms": wall, "processor_ms": processor}
    show(table)
    return found


def _run(words: Sequence[str]) -> tuple[float, float]:
    """Wall and processor time of a process of Python. Raises RuntimeError where it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"the command ended with {done.returncode}: {done.stdout}{done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
