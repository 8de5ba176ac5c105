"""`smesher bench`: labels a second of the CPU engine against hashlib.scrypt, in a few seconds.

The two are measured in turns and compared pair by pair, so that a machine that is busy for a while slows both
and moves the ratio little; medians are shown. `python -m bench` uses the same measurements for more. hashlib's
scrypt (OpenSSL, Salsa20/8 and SHA-256) is another function than the one of protocol 01-post, section 2.1, with
the same N, r, p and so the same memory traffic; it releases the interpreter lock, so threads are fair to it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.cli import common
from api.cli.output import Output
from api.edge.errors import Interrupted
from api.edge.signals import stop_on_signal

if TYPE_CHECKING:
    from rich.table import Table

    from kernels.labels.cpu import LabelEngine

ROUNDS = 5
DEFAULT_SECONDS = 10.0
DEFAULT_N = 8192
CALL_SECONDS = 0.02
"""How long one call of the work should take: short beside a measurement, long beside the cost of a call."""

OPENSSL_SLACK = 1 << 20
"""Bytes beside 128 N r that OpenSSL's limit has to allow."""

Work = Callable[[], int]
"""Computes some labels and returns how many."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Labels a second of the engine and of hashlib.scrypt in the same rounds."""

    threads: int
    engine: tuple[float, ...]
    hashlib: tuple[float, ...]
    """Empty where OpenSSL refuses this N."""

    @property
    def engine_rate(self) -> float:
        """Median of the engine, labels a second."""
        return statistics.median(self.engine)

    @property
    def hashlib_rate(self) -> float | None:
        """Median of hashlib.scrypt, labels a second."""
        return statistics.median(self.hashlib) if self.hashlib else None

    @property
    def ratio(self) -> float | None:
        """Median of the ratios engine / hashlib of the rounds."""
        pairs = zip(self.engine, self.hashlib)
        return statistics.median(one / other for one, other in pairs) if self.hashlib else None

    def as_json(self) -> dict[str, object]:
        """Figures for machines; rates in labels a second."""
        return {
            "threads": self.threads,
            "engine": round(self.engine_rate, 1),
            "hashlib": _rounded(self.hashlib_rate, 1),
            "ratio": _rounded(self.ratio, 3),
            "engine_rounds": [round(rate, 1) for rate in self.engine],
            "hashlib_rounds": [round(rate, 1) for rate in self.hashlib],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """One core, and several if more than one was asked for, at one N."""

    scrypt_n: int
    one: Pair
    several: Pair | None

    @property
    def best(self) -> Pair:
        """The pair with the most threads."""
        return self.several or self.one

    @property
    def scaling(self) -> float | None:
        """Median over the rounds of the engine's rate with all threads / with one."""
        if self.several is None:
            return None
        return statistics.median(many / one for many, one in zip(self.several.engine, self.one.engine))

    def as_json(self) -> dict[str, object]:
        """Figures for machines."""
        return {
            "scrypt_n": self.scrypt_n,
            "one_core": self.one.as_json(),
            "all_cores": None if self.several is None else self.several.as_json(),
            "scaling": _rounded(self.scaling, 3),
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Measure labels a second on one core and on all, in turns with hashlib.scrypt at the same N, r and p. "
        "`make bench` measures more."
    )
    parser.add_argument("--threads", type=common.threads, metavar="T", help="CPU threads (default: all)")
    parser.add_argument(
        "--scrypt-n", type=common.whole_number, default=DEFAULT_N, metavar="N", help=f"scrypt N (default {DEFAULT_N})"
    )
    parser.add_argument(
        "--seconds", type=common.seconds, default=DEFAULT_SECONDS, metavar="S", help="time to measure (default 10)"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0 and the figures, whatever they are."""
    from protocol.post.rules import check_scrypt_n

    scrypt_n = check_scrypt_n(arguments.scrypt_n)
    threads = common.thread_count(arguments)
    common.compile_kernels(output)
    here = machine()
    if busy := busy_note(here):
        output.note(busy)
    stopped = threading.Event()
    began = time.monotonic()
    slot = arguments.seconds / (ROUNDS * (2 if threads == 1 else 4))
    with stop_on_signal(stopped.set), output.busy(f"measuring for about {arguments.seconds:.0f} s …"):
        result = compare(scrypt_n, threads, slot, stopped=stopped)
    output.event(
        "done",
        **result.as_json(),
        labels_per_second=round(result.best.engine_rate, 1),
        rounds=ROUNDS,
        seconds=round(time.monotonic() - began, 3),
        machine=here,
    )
    if not output.json:
        output.show(table([result]))
        output.say("[dim]" + ", ".join(f"{name} {value}" for name, value in here.items()) + "[/]")
    return 0


def compare(
    scrypt_n: int, threads: int, seconds: float, *, rounds: int = ROUNDS, stopped: threading.Event | None = None
) -> Comparison:
    """Measures in turns: engine and hashlib on one core, then on `threads`; each for `seconds`, `rounds` times.

    Raises Interrupted when `stopped` is set meanwhile, MemoryShortage when not even one label fits.
    """
    stopped = stopped or threading.Event()
    engines = open_engines(scrypt_n, threads)
    try:
        ours = [engine_work(engine) for engine in engines]
        theirs = [hashlib_work(scrypt_n) for _ in engines] if hashlib_accepts(scrypt_n) else []
        counts = [1] if len(engines) == 1 else [1, len(engines)]
        measured: dict[int, tuple[list[float], list[float]]] = {count: ([], []) for count in counts}
        for _ in range(rounds):
            for count in counts:
                for work, rates in zip((ours, theirs), measured[count]):
                    if work:
                        rates.append(rate(work[:count], seconds, stopped))
    finally:
        for engine in engines:
            engine.close()
    pairs = [Pair(count, tuple(engine_rates), tuple(others)) for count, (engine_rates, others) in measured.items()]
    return Comparison(scrypt_n, pairs[0], pairs[1] if len(pairs) > 1 else None)


def open_engines(scrypt_n: int, threads: int) -> list[LabelEngine]:
    """One engine a thread, as `smesher init` has them; fewer when memory is short."""
    from kernels.labels import cpu

    return cpu.engines(cpu.devices()[0], scrypt_n, threads)


def engine_work(engine: LabelEngine) -> Work:
    """Labels of the zero commitment, in calls of about `CALL_SECONDS`. The first call is made here."""
    import numpy as np

    position, count = 0, engine.granularity
    out = np.empty((count, 16), np.uint8)

    def compute() -> int:
        nonlocal position
        engine.labels(bytes(32), position, count, out)
        position += count
        return count

    while True:
        compute()  # the first one also takes the scratch memory from the system
        began = time.perf_counter()
        compute()
        if time.perf_counter() - began > CALL_SECONDS / 2 or count >= 1 << 20:
            return compute
        count *= 2
        out = np.empty((count, 16), np.uint8)


def hashlib_accepts(scrypt_n: int) -> bool:
    """Whether hashlib.scrypt takes this N with r = 1; OpenSSL does below 2^16, and not every Python has it."""
    try:
        _hashlib_label(bytes(72), scrypt_n)
    except (AttributeError, ValueError, MemoryError):
        return False
    return True


def hashlib_work(scrypt_n: int) -> Work:
    """The same number of bytes out of passwords of the same length, in calls of about `CALL_SECONDS`."""
    position = 0
    began = time.perf_counter()
    for _ in range(3):
        _hashlib_label(bytes(72), scrypt_n)
    count = max(1, int(CALL_SECONDS / ((time.perf_counter() - began) / 3)))

    def compute() -> int:
        nonlocal position
        for index in range(position, position + count):
            _hashlib_label(bytes(32) + index.to_bytes(8, "little") + bytes(32), scrypt_n)
        position += count
        return count

    return compute


def _hashlib_label(password: bytes, scrypt_n: int) -> bytes:
    memory = 128 * scrypt_n + OPENSSL_SLACK
    return hashlib.scrypt(password, salt=b"", n=scrypt_n, r=1, p=1, maxmem=memory, dklen=32)


def rate(works: Sequence[Work], seconds: float, stopped: threading.Event) -> float:
    """Labels a second of all works together, each in a thread of its own, measured until the last one ends.

    Raises Interrupted when `stopped` is set, and whatever a work raises.
    """
    counts = [0] * len(works)
    errors: list[BaseException] = []
    began = time.perf_counter()

    def repeat(number: int) -> None:
        try:
            while not stopped.is_set():
                counts[number] += works[number]()
                if time.perf_counter() - began >= seconds:
                    return
        except BaseException as error:  # handed to the caller below
            errors.append(error)

    others = [threading.Thread(target=repeat, args=(number,), daemon=True) for number in range(1, len(works))]
    for thread in others:
        thread.start()
    repeat(0)
    for thread in others:
        thread.join()
    elapsed = time.perf_counter() - began
    if errors:
        raise errors[0]
    if stopped.is_set():
        raise Interrupted("Stopped; nothing was written.")
    return sum(counts) / elapsed


def machine() -> dict[str, object]:
    """What figures of a benchmark mean nothing without."""
    import ssl
    from importlib.metadata import version

    from kernels.labels import cpu
    from kernels.vectors import target

    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "cpu": cpu.devices()[0].name.removeprefix("[CPU] "),
        "cores": cpu.usable_cores(),
        "memory_bytes": cpu.devices()[0].memory_bytes,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "variant": target.variant().name,
        "variants": list(target.supported_variants()),
        "python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        "numba": version("numba"),
        "numpy": version("numpy"),
        "openssl": ssl.OPENSSL_VERSION,
        "load_average": None if load is None else [round(value, 2) for value in load],
    }


def busy_note(here: dict[str, object]) -> str | None:
    """A warning when other programs used the processor before the measurement began."""
    load, cores = here["load_average"], here["cores"]
    if isinstance(load, list) and isinstance(cores, int) and load[0] > cores / 4:
        return (
            f"The load average is {load[0]} on {cores} cores: other programs are busy, so rates are too low and the "
            "gain of several threads says little."
        )
    return None


def table(comparisons: Sequence[Comparison]) -> Table:
    """Comparisons for people, one row for each number of threads."""
    from rich.table import Table

    made = Table(title="labels per second, medians", title_justify="left")
    for heading in ("N", "threads", "engine", "hashlib.scrypt", "ratio", "against one core"):
        made.add_column(heading, justify="right")
    for one in comparisons:
        for pair in (one.one, one.several):
            if pair is not None:
                made.add_row(
                    str(one.scrypt_n),
                    str(pair.threads),
                    f"{pair.engine_rate:,.0f}",
                    "refused" if pair.hashlib_rate is None else f"{pair.hashlib_rate:,.0f}",
                    "-" if pair.ratio is None else f"{pair.ratio:.2f}",
                    "-" if pair is one.one or one.scaling is None else f"{one.scaling:.2f}",
                )
    return made


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
