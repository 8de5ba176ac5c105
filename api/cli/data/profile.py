"""`smesher profile proving|pow`: how fast this machine proves, and how many space units that is enough for.

The options are those of the reference's profiler; without a word `proving` is meant. With --json the last line is one
object that has the reference's keys. Specified in protocol 01-post-tools, section 7.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from api.cli import common, proofs
from api.cli.output import Output
from api.cli.units import byte_size
from api.edge.errors import DataError, EnvironmentFault, UsageError
from api.edge.signals import stop_on_signal
from api.edge.text import shown
from protocol.params.config.networks import BY_NAME
from protocol.params.post import NETWORKS, network
from prover import durable
from prover.measure import proving as profiling
from prover.measure.proving import GIB, PassRate, PowCost
from prover.post.proof import prove
from prover.post.proof.pow import Search

if TYPE_CHECKING:
    from rich.table import Table

WHAT = ("proving", "pow")
DEFAULTS: dict[str, dict[str, object]] = {
    "proving": {"data_file": None, "data_size": 1.0, "duration": 10, "threads": 4, "nonces": 64, "pin": False},
    "pow": {
        "iterations": 5,
        "threads": 1,
        "nonces": 64,
        "num_units": 4,
        "difficulty": None,
        "randomx_mode": None,
        "randomx_large_pages": False,
    },
}
"""Options that go with each word, and what they are when they are not given."""

SECOND_NS = 1_000_000_000
LONGEST_S = 86_400
SPARE_BYTES = 64 << 20
"""Room that is left to others on the disk."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of both words; `run` refuses those of the other one."""
    parser.set_defaults(**dict.fromkeys({name for options in DEFAULTS.values() for name in options}))
    parser.add_argument("what", nargs="?", choices=WHAT, default="proving", help="what is measured (default proving)")
    parser.add_argument("--threads", type=common.threads, metavar="T", help="0: all (default 4; pow: 1)")
    parser.add_argument("--nonces", type=common.whole_number, metavar="N", help="of one pass, a multiple of 16 (64)")
    parser.add_argument("--network", metavar="NAME", help=f"whose time window counts (mainnet): {', '.join(NETWORKS)}")
    group = parser.add_argument_group("proving")
    group.add_argument(
        "--data-file",
        type=common.path,
        metavar="FILE",
        help="made or extended with random bytes (default: a temporary one)",
    )
    group.add_argument("--data-size", type=_gib, metavar="GIB", help="GiB that one pass reads (default 1)")
    group.add_argument("--duration", type=common.whole_number, metavar="S", help="seconds, whole passes (default 10)")
    group.add_argument("--pin", action="store_true", default=None, help="pin every thread to a processor of its own")
    group = parser.add_argument_group("pow")
    group.add_argument("--iterations", type=common.whole_number, metavar="I", help="searches (default 5)")
    group.add_argument("--num-units", type=common.whole_number, metavar="U", help="space units (default 4)")
    group.add_argument("--difficulty", metavar="HEX", help="for one unit, 32 bytes (default: the network's)")
    proofs.add_randomx_argument(group, "fast")
    group.add_argument("--randomx-large-pages", action="store_true", default=None, help="use them where allowed")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: measured; 1: the data file cannot be used, or there is nothing to measure."""
    what = arguments.what
    for name in sorted({name for options in DEFAULTS.values() for name in options} - set(DEFAULTS[what])):
        if getattr(arguments, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} does not go with smesher profile {what}.")
    for name, default in DEFAULTS[what].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    network(arguments.network or "mainnet")
    if arguments.nonces == 0:
        raise DataError("--nonces is 0: there is nothing to measure; expected a multiple of 16.")
    if what == "proving" and (arguments.duration == 0 or arguments.data_size == 0):
        raise UsageError(
            f"--duration is {arguments.duration} and --data-size {arguments.data_size:g}: nothing would be measured; "
            "expected more than 0 of both."
        )
    if what == "proving" and arguments.duration > LONGEST_S:
        raise UsageError(f"--duration is {arguments.duration}, expected at most {LONGEST_S} seconds, which is a day.")
    arguments.threads = arguments.threads or None  # 0 means all of them, as no number does elsewhere
    threads = common.thread_count(arguments)
    prove.ProveParams(1, 1, arguments.nonces, threads).check()
    return _proving(arguments, threads, output) if what == "proving" else _pow(arguments, threads, output)


# -- passes ---------------------------------------------------------------------------------------------------


def _proving(arguments: argparse.Namespace, threads: int, output: Output) -> int:
    from kernels.scan import aes

    size = int(arguments.data_size * GIB)
    cores = prove.cores_for(threads) if arguments.pin else ()
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="smesher-profile-") as folder, stop_on_signal(stop.set):
        path: Path = arguments.data_file or Path(folder) / "data.bin"
        missing = _missing(path, size)
        with output.busy(f"writing {byte_size(missing)} of random bytes …") if missing > 0 else nullcontext():
            profiling.fill_file(path, size, stop)  # may take a while; the room for it was looked at
        proofs.compile_pass(output)
        with output.busy(f"proving for {arguments.duration} seconds …"):
            rate = profiling.passes(
                [path],
                size,
                nonces=arguments.nonces,
                threads=threads,
                seconds=arguments.duration,
                stop=stop,
                cores=cores,
            )
    speed = rate.gib_per_second
    window, units = None, None
    if speed is not None:
        window = _window(arguments.network)
        unit_bytes = network(arguments.network or "mainnet").labels_per_unit * 16
        units = profiling.provable_units(speed, arguments.nonces, window, unit_bytes)
        output.show(_passes_table(arguments, threads, rate, window, units, unit_bytes))
    output.event(
        "done",
        time_s=round(rate.seconds, 6),
        speed_gib_s=None if speed is None else round(speed, 6),
        nonces=arguments.nonces,
        threads=threads,
        path=aes.name(),
        window_s=window,
        provable_units=units,
    )
    return 0


def _missing(path: Path, size: int) -> int:
    """Bytes that have to be written first. Raises DataError, UsageError, EnvironmentFault where they have no place."""
    try:
        found = path.stat()
    except FileNotFoundError:
        there = 0
    except OSError as error:
        raise DataError(f"The data file {path} cannot be used: {error.strerror}.") from None
    else:
        kind = durable.kind_of(path)
        if kind != "a file":
            raise UsageError(f"The data file {path} is {kind}, expected a file.")
        there = found.st_size
    missing = max(0, size - there)
    if missing and path.parent.is_dir():
        free = shutil.disk_usage(path.parent).free
        if missing + SPARE_BYTES > free:
            raise EnvironmentFault(
                f"{path.parent} has {byte_size(free)} free, {byte_size(missing)} would be written. Choose a smaller "
                "--data-size, or a --data-file on another disk."
            )
    return missing


def _passes_table(
    arguments: argparse.Namespace, threads: int, rate: PassRate, window: float, units: int, unit_bytes: int
) -> Table:
    from rich.table import Table

    from kernels.scan import aes

    name = arguments.network or "mainnet"
    made = Table(
        title=f"{rate.size_bytes / GIB:,.1f} GiB in {rate.seconds:,.1f} s, {aes.name()}; {name} gives "
        f"{window / 3600:,.4g} h for a proof, of which {profiling.USABLE_SHARE:.0%} are counted",
        title_justify="left",
    )
    for heading in ("threads", "nonces a pass", "GiB/s", "likely passes", "data in the window", "space units"):
        made.add_column(heading, justify="right")
    likely = max(1, -(-profiling.RECOMMENDED_NONCES // arguments.nonces))
    speed = rate.gib_per_second or 0.0
    data = profiling.USABLE_SHARE * window * speed / likely
    made.add_row(
        str(threads),
        str(arguments.nonces),
        f"{speed:,.3f}",
        str(likely),
        f"{data / 1024:,.2f} TiB" if data >= 1024 else f"{data:,.2f} GiB",
        f"{units:,} of {unit_bytes / GIB:,.4g} GiB",
    )
    return made


def _window(name: str | None) -> float:
    """Seconds between two PoET rounds of a network, in which a proof has to be made."""
    return BY_NAME[(name or "mainnet").lower()].poet.cycle_gap_ns / SECOND_NS


# -- proofs of work -------------------------------------------------------------------------------------------


def _pow(arguments: argparse.Namespace, threads: int, output: Output) -> int:
    if arguments.iterations < 1:
        raise UsageError("--iterations is 0, expected at least 1.")
    if arguments.num_units < 1:
        raise UsageError("--num-units is 0, expected at least 1.")
    difficulty = network(arguments.network or "mainnet").pow_difficulty
    if arguments.difficulty is not None:
        difficulty = common.hex_bytes(arguments.difficulty, "--difficulty")
    prepared = proofs.RandomX(
        arguments.randomx_mode, "fast", threads, output, large_pages=arguments.randomx_large_pages
    )
    searches: list[Search] = []

    def stop() -> None:
        prepared.stop.set()
        for search in searches[-1:]:
            search.stop()

    def begun(search: Search) -> None:
        searches.append(search)
        if prepared.stop.is_set():
            search.stop()

    with stop_on_signal(stop):
        began = time.monotonic()
        with closing(prepared.open(prepared.full)) as memory:
            prepared_s, large_pages = time.monotonic() - began, memory.large_pages
            with output.busy(f"{arguments.iterations} searches …"):
                cost = profiling.pow_cost(
                    memory, difficulty, iterations=arguments.iterations, threads=threads, begun=begun
                )
    seconds = cost.expected_seconds(arguments.nonces, arguments.num_units)
    output.show(_pow_table(arguments, threads, cost))
    output.say(f"RandomX ({'fast' if prepared.full else 'light'} mode) was ready after {prepared_s:,.1f} s")
    output.event(
        "done",
        randomx_vm_init_time=_duration(prepared_s),
        average_time=_duration(seconds),
        iterations=arguments.iterations,
        hashes_per_second=round(cost.hashes_per_second, 3),
        randomx_large_pages=large_pages,
    )
    return 0


def _pow_table(arguments: argparse.Namespace, threads: int, cost: PowCost) -> Table:
    from rich.table import Table

    made = Table(
        title=f"{cost.hashes_per_second:,.1f} hashes/s on {threads} threads; {cost.expected_hashes:,.1f} hashes are "
        "expected for each space unit and 16 nonces",
        title_justify="left",
    )
    for heading in ("space units", f"{arguments.nonces} nonces", f"{profiling.RECOMMENDED_NONCES} nonces"):
        made.add_column(heading, justify="right")
    for units in sorted({arguments.num_units, 4 * arguments.num_units, 16 * arguments.num_units}):
        times = [cost.expected_seconds(nonces, units) for nonces in (arguments.nonces, profiling.RECOMMENDED_NONCES)]
        made.add_row(f"{units:,}", *(f"{seconds / 60:,.1f} min" for seconds in times))
    return made


def _duration(seconds: float) -> dict[str, int]:
    """As the reference prints a duration."""
    whole, nanos = divmod(round(seconds * SECOND_NS), SECOND_NS)
    return {"secs": whole, "nanos": nanos}


def _gib(text: str) -> float:
    """argparse type: GiB, whole or with a fraction."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1 << 30:
        raise argparse.ArgumentTypeError(f"found {shown(text)}, expected a number of GiB such as 1 or 0.5")
    return value
