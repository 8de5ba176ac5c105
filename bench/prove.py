"""Proving and verifying: the scan on every path against OpenSSL, files against the disk, verdicts, RandomX.

Rates and times are per core, in processor time of the thread; what is compared is measured in turns within one run.
Protocol 01-post, sections 4 to 6.
"""

from __future__ import annotations

import mmap
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rich.table import Table

from bench.prove_child import NONCES
from bench.settings import Settings, Show, child
from bench.verify_command import whole_command
from kernels import randomx
from kernels.devices.types import Stopped
from kernels.labels import cpu
from kernels.vectors import target
from protocol.params.post import MAINNET
from protocol.post.proof import RANDOMX_KEY, Proof, ProofMetadata
from protocol.post.rules import commitment
from prover.errors import Interrupted
from prover.measure import proving as profiling
from prover.post.directory import DIRECT, Storage
from prover.post.metadata import PostMetadata
from prover.post.proof import verify
from prover.post.proof.pow import Search
from prover.post.proof.prove import ProveParams, Prover
from prover.post.proof.verify import Claim, Mode, VerifyParams

CHILD = "bench.prove_child"
GIB = 1 << 30
NO_AES = "~0x200000000000000"
"""For OPENSSL_ia32cap: OpenSSL without the AES instructions."""

WANTED = {
    "VAES, 512 bits": (2.2, 1.3, 0.6),
    "VAES, 256 bits": (2.2, 1.3, 0.6),
    "AES-NI": (1.35, 0.66, 0.30),
}
"""GiB/s that a core shall reach for the numbers of nonces in NONCES; without AES it is OpenSSL's rate by groups."""

FILES = 4
FILE_BYTES_A_SECOND_OF_SETTINGS = 2 << 30
"""Bytes of all files together for each second of a measurement."""

LABELS = 4096
"""Of the data whose proof is verified."""

MANY = 256
BATCH = 64
MODES = (False, True)
"""Light and full memory of RandomX."""


def run(settings: Settings, show: Show) -> dict[str, object]:
    """Measures all and prints a table for each part."""
    return {
        "scan": scan(settings, show),
        "files": files(settings, show),
        "memory": memory(settings, show),
        **randomx_and_verdicts(settings, show),
        "command": whole_command(*a_proof(), LABELS, settings, show),
    }


# -- the scan ---------------------------------------------------------------------------------------------------


def paths() -> list[dict[str, str]]:
    """Environments in which a child takes each path that this processor has."""
    found = [{target.FORCE_VARIABLE: "portable", "OPENSSL_ia32cap": NO_AES}]
    supported = target.supported_variants()
    if "avx2" in supported:
        found = [{target.FORCE_VARIABLE: "avx2"}, {target.FORCE_VARIABLE: "avx2-vaes"}, *found]
    if "avx512" in supported:
        found = [{target.FORCE_VARIABLE: "avx512"}, *found]
    return found


def scan(settings: Settings, show: Show) -> list[dict[str, object]]:
    """GiB a second of one core for each path and number of nonces."""
    table = Table(title="proving pass, one core, GiB/s, lazy ciphers included", title_justify="left")
    headings = ["path", *(f"{nonces} nonces" for nonces in NONCES), "OpenSSL ECB, one key"]
    for heading in headings:
        table.add_column(heading, justify="right")
    rows: list[dict[str, object]] = []
    for environment in paths():
        row = child(CHILD, ["scan", str(settings.seconds), str(settings.rounds)], environment)
        if row in rows or any(row["path"] == other["path"] for other in rows):
            continue  # without VAES two environments lead to one path
        rates: dict[str, float] = row["rates"]
        openssl = rates.get("openssl")
        cells = []
        for place, nonces in enumerate(NONCES):
            rate = rates[str(nonces)] / GIB
            wanted = WANTED[row["path"]][place] if row["path"] in WANTED else (openssl or 0) / GIB / (nonces // 16)
            cells.append(f"{rate:.3f} ({rate / wanted:.2f} × {wanted:.3f})" if wanted else f"{rate:.3f}")
        masked = ", without AES instructions" if "OPENSSL_ia32cap" in environment else ""
        table.add_row(row["path"], *cells, f"{openssl / GIB:.3f}{masked}" if openssl else "not here")
        rows.append({**row, "openssl_without_aes": bool(masked)})
    show(table)
    return rows


# -- files and memory ---------------------------------------------------------------------------------------------


def files(settings: Settings, show: Show) -> dict[str, object]:
    """Passes over several files with a cold cache, against reading them and doing nothing; by the wall clock."""
    size = max(1 << 20, int(FILE_BYTES_A_SECOND_OF_SETTINGS * settings.seconds / FILES) >> 20 << 20)
    rates: dict[str, list[float]] = {"disk": [], **{str(nonces): [] for nonces in NONCES}}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory) as folder:
        made = [Path(folder) / f"data-{number}.bin" for number in range(FILES)]
        for path in made:
            profiling.fill_file(path, size, threading.Event())
        for _ in range(settings.rounds):
            rates["disk"].append(read_only(made))
            for nonces in NONCES:
                one = profiling.passes(
                    made, size, nonces=nonces, threads=settings.threads, seconds=1e-9, stop=threading.Event()
                )
                rates[str(nonces)].append(one.gib_per_second or 0.0)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    table = Table(
        title=f"{FILES} files of {size >> 20} MiB, cold, {settings.threads} threads, GiB/s", title_justify="left"
    )
    for heading in ("the disk alone", *(f"{nonces} nonces" for nonces in NONCES)):
        table.add_column(heading, justify="right")
    cells = [f"{medians[str(nonces)]:.3f} ({medians[str(nonces)] / medians['disk']:.0%})" for nonces in NONCES]
    table.add_row(f"{medians['disk']:.3f}", *cells)
    show(table)
    return {"file_bytes": size, "files": FILES, "gib_per_second": medians}


def read_only(made: Sequence[Path]) -> float:
    """GiB a second of plain sequential reads past the page cache, four large ones in flight."""
    size, readers = 4 << 20, 4
    for path in made:
        profiling.drop_from_cache(path)
    wanted = [(path, at) for path in made for at in range(0, path.stat().st_size, size)]
    left = iter(wanted)
    lock = threading.Lock()

    def read() -> None:
        memory = mmap.mmap(-1, size)
        while True:
            with lock:
                place = next(left, None)
            if place is None:
                return
            descriptor = os.open(place[0], os.O_RDONLY | (os.O_DIRECT if DIRECT else 0))
            os.preadv(descriptor, [memory], place[1])
            os.close(descriptor)

    threads = [threading.Thread(target=read) for _ in range(readers)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(path.stat().st_size for path in made) / GIB / (time.monotonic() - began)


def memory(settings: Settings, show: Show) -> dict[str, object]:
    """Resident memory of a pass with 288 nonces beside the interpreter and compiled code."""
    size = max(16 << 20, int(256 * settings.seconds) << 20)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory) as folder:
        path = Path(folder) / "data.bin"
        profiling.fill_file(path, size, threading.Event())
        figures = child(CHILD, ["memory", str(path), str(settings.threads), str(NONCES[-1])])
    used = int(str(figures["peak_bytes"])) - int(str(figures["before_bytes"]))
    show(f"a pass with {NONCES[-1]} nonces and {settings.threads} threads takes {used / 2**20:.1f} MiB (at most 64)")
    return {**figures, "pass_bytes": used}


# -- RandomX and verdicts -----------------------------------------------------------------------------------------


def randomx_and_verdicts(settings: Settings, show: Show) -> dict[str, object]:
    """k2pow against the library's own rate, and what a verdict costs, in light and in full mode."""
    results: dict[str, object] = {}
    proof, metadata = a_proof()
    hashes = Table(title="RandomX, one core, hashes/s", title_justify="left")
    for heading in ("mode", "library", "search", "share", "ready after"):
        hashes.add_column(heading, justify="right")
    verdicts = Table(title="verdicts, one core, ms each", title_justify="left")
    for heading in ("what", "ms", "at most", "of it RandomX"):
        verdicts.add_column(heading, justify="right")
    for full in MODES:
        name = "full" if full else "light"
        began, cpu_began = time.monotonic(), time.process_time()
        with closing(randomx.Memory(RANDOMX_KEY, full=full, threads=settings.threads)) as memory:
            ready, cost = time.monotonic() - began, time.process_time() - cpu_began
            figures = search_rates(memory, settings)
            hashes.add_row(
                name,
                f"{figures['library']:.1f}",
                f"{figures['search']:.1f}",
                f"{figures['share']:.1%}",
                f"{ready:.1f} s ({settings.threads} threads, {cost:.1f} s of processor time)",
            )
            results[f"randomx_{name}"] = {**figures, "ready_seconds": ready, "ready_cpu_seconds": cost}
            cases = FULL_CASES if full else LIGHT_CASES
            for what, positions, count, most in cases:
                milliseconds = verdict_cost(memory, proof, metadata, positions, count, settings)
                share = 1e3 / figures["library"]
                verdicts.add_row(what, f"{milliseconds:.1f}", f"{most}", f"{share:.1f}")
                results[f"verify_{what}"] = {"ms_each": milliseconds, "at_most": most}
    show(hashes)
    show(verdicts)
    return results


LIGHT_CASES = (("all 37, light", MAINNET.k2, 1, 60), ("K3 = 1, light", 1, 1, 44))
FULL_CASES = ((f"K3 = 1, full, {BATCH} at once", 1, BATCH, 7), (f"K3 = 37, full, {MANY} at once", MAINNET.k2, MANY, 20))
"""What, positions that are checked, proofs at once, ms each at most."""


def search_rates(memory: randomx.Memory, settings: Settings) -> dict[str, float]:
    """The library called in a loop, and the search, in turns."""
    seconds = max(settings.seconds, 0.2) * 2
    library, search = [], []
    with closing(memory.machine()) as machine:
        for _ in range(settings.rounds):
            done, began = 0, time.thread_time()
            while (took := time.thread_time() - began) < seconds:
                machine.hash(done.to_bytes(48, "little"))
                done += 1
            library.append(done / took)
            search.append(_search_rate(memory, seconds))
    shares = [one / other for one, other in zip(search, library)]
    return {
        "library": statistics.median(library),
        "search": statistics.median(search),
        "share": statistics.median(shares),
    }


def _search_rate(memory: randomx.Memory, seconds: float) -> float:
    """Hashes a second of processor time of the whole process: nothing else runs in it."""
    endless = Search(memory, 0, bytes(32), bytes(32), b"")
    timer = threading.Timer(seconds, endless.stop)
    timer.start()
    began = time.process_time()
    try:
        endless.run()
    except (Interrupted, Stopped):
        return endless.hashes / (time.process_time() - began)
    raise RuntimeError("a hash was below nothing")


def a_proof() -> tuple[Proof, ProofMetadata]:
    """A valid proof over labels of mainnet's cost, with a proof of work that any hash meets."""
    node_id, atx_id, challenge = bytes(32), bytes(32), bytes(32)
    metadata = PostMetadata(node_id, atx_id, LABELS, 1, LABELS * 16)
    with (
        closing(cpu.LabelEngine(cpu.devices()[0], MAINNET.scrypt_n, cpu.usable_cores())) as engine,
        tempfile.TemporaryDirectory() as folder,
    ):
        labels = engine.labels32([commitment(node_id, atx_id)], range(LABELS))
        (Path(folder) / "postdata_0.bin").write_bytes(labels[:, :16].tobytes())
        params = ProveParams(MAINNET.k1, MAINNET.k2, NONCES[-1], 1)
        proof = Prover(Storage(Path(folder)), metadata, challenge, params, lambda group: 0).run()
    return proof, ProofMetadata(node_id, atx_id, challenge, 1)


def verdict_cost(
    memory: randomx.Memory, proof: Proof, metadata: ProofMetadata, positions: int, count: int, settings: Settings
) -> float:
    """Milliseconds of processor time for one proof of `count` at once; median."""
    rules = VerifyParams(MAINNET.k1, MAINNET.k2, b"\xff" * 32, 1, 1, LABELS, MAINNET.scrypt_n)
    if positions == MAINNET.k2:
        mode = Mode.all(MAINNET.k2)
    else:
        mode = Mode.subset(positions, b"seed", MAINNET.k2, metadata)
    claims = [Claim(proof, metadata, mode)] * count
    times = []
    with closing(cpu.LabelEngine(cpu.devices()[0], MAINNET.scrypt_n)) as engine, closing(memory.machine()) as machine:
        for number in range((settings.rounds if count == 1 else min(3, settings.rounds)) + 1):
            began = time.process_time()
            found = verify.check_many(claims, rules, engine, machine.hash)
            if number:  # the first time takes memory from the system
                times.append((time.process_time() - began) * 1e3 / count)
            if not all(one.valid for one in found):
                raise RuntimeError(f"the proof was judged {found[0]}")
    return statistics.median(times)
