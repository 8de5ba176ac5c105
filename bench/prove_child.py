"""What has to be measured in a process of its own: the scan on one path, and the memory of a pass.

python -m bench.prove_child scan SECONDS ROUNDS        rates of the path that KERNELS_FORCE names, and OpenSSL's
python -m bench.prove_child memory FILE THREADS NONCES  resident memory before and during a pass over a file

Rates are bytes a second of processor time of one thread. Prints one JSON object.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from protocol.params.post import MAINNET
from protocol.post.proof import proving_difficulty
from prover.measure import proving as profiling

NONCES = (64, 128, 288)
BLOCK = 1 << 20


def scan(seconds: float, rounds: int) -> dict[str, object]:
    """The scan for several numbers of nonces and AES-128-ECB of OpenSSL over the same bytes, in turns."""
    from kernels.scan import aes

    source = np.random.default_rng(7)
    labels = source.integers(0, 1 << 64, BLOCK // 8, dtype=np.uint64)
    difficulty = proving_difficulty(MAINNET.k1, profiling.UNITS * MAINNET.labels_per_unit)
    works: dict[str, Callable[[], object]] = {}
    for nonces in NONCES:
        works[str(nonces)] = _scanning(aes, source, labels, nonces, difficulty.msb, difficulty.lsb)
    encrypt = _openssl(labels.tobytes())
    if encrypt is not None:
        works["openssl"] = encrypt
    found: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(_rate(work, seconds))
    return {"path": aes.name(), "rates": {name: statistics.median(rates) for name, rates in found.items()}}


def _scanning(
    aes: object, source: np.random.Generator, labels: np.ndarray, nonces: int, msb: int, lsb: int
) -> Callable[[], object]:
    groups = [source.bytes(16) for _ in range(nonces // 16)]
    scanner = aes.Scanner(groups, [source.bytes(16) for _ in range(nonces)], msb, lsb)  # type: ignore[attr-defined]
    room = scanner.room()
    return lambda: scanner.good(labels, BLOCK // 16, room)


def _openssl(data: bytes) -> Callable[[], object] | None:
    """Encrypts the block once with one key; None without the package `cryptography`."""
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ImportError:
        return None
    encryptor = Cipher(algorithms.AES(bytes(16)), modes.ECB()).encryptor()
    out = bytearray(len(data) + 16)
    return lambda: encryptor.update_into(data, out)


def _rate(work: Callable[[], object], seconds: float) -> float:
    done, began = 0, time.thread_time()
    while (took := time.thread_time() - began) < seconds:
        work()
        done += BLOCK
    return done / took


def memory(path: Path, threads: int, nonces: int) -> dict[str, object]:
    """Resident bytes after everything is loaded and compiled, and the most that a pass had."""
    from kernels.scan import aes

    aes.warm_up()
    before = _status("VmRSS")
    profiling.passes([path], path.stat().st_size, nonces=nonces, threads=threads, seconds=1e-9, stop=threading.Event())
    return {"before_bytes": before, "peak_bytes": _status("VmHWM")}


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"the system does not tell {key}")


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "scan":
        print(json.dumps(scan(float(words[0]), int(words[1]))))
    else:
        print(json.dumps(memory(Path(words[0]), int(words[1]), int(words[2]))))
