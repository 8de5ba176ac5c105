"""`smesher providers`: the devices that can compute labels, and why others were passed over."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from api.cli import common
from api.cli.output import Output
from api.cli.units import byte_size

if TYPE_CHECKING:
    from kernels.devices.types import Device, PassedOver
    from kernels.gpu.layout import Tuning
    from kernels.gpu.tune import Trial

BENCHMARK_N = 8192


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description = "List the devices that can compute labels, with the ids that the node uses for them."
    parser.add_argument("--benchmark", action="store_true", help="measure labels a second of every device")
    parser.add_argument(
        "--seconds", type=common.seconds, default=3.0, metavar="S", help="time of the benchmark (default 3)"
    )
    parser.add_argument(
        "--tune", action="store_true", help="find the fastest way to use every GPU, at most 30 s each, and remember it"
    )
    parser.add_argument("--threads", type=common.threads, metavar="T", help="CPU threads (default: all)")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0, or 3 when a device could not be tuned.

    With --json one object a line for each provider, then for each kind that was passed over.
    """
    from kernels.devices import find

    common.thread_count(arguments)
    if arguments.benchmark or arguments.tune:
        common.compile_kernels(output)
    rows = []
    found = find.devices()
    tuned = [_tune(one, output) for one in found if one.backend != "cpu"] if arguments.tune else []
    if arguments.tune and not tuned:
        output.note("There is nothing to tune: the CPU's own engine has one way to work.")
    for one in found:
        rate = _measure(one, arguments, output) if arguments.benchmark else None
        rows.append((one, rate))
        output.event(
            "provider",
            id=one.id,
            name=one.name,
            **{"class": one.device_class},
            memory_bytes=one.memory_bytes,
            platform=one.platform,
            vendor=one.vendor,
            driver=one.driver,
            pci=one.pci,
            place=one.place,
            compute_units=one.compute_units,
            aliases=list(one.aliases),
            **({} if rate is None else {"labels_per_second": round(rate, 1)}),
        )
    passed_over = find.passed_over()
    for missing in passed_over:
        output.event("passed_over", what=missing.what, reason=missing.reason)
    if not output.json:
        _show(rows, passed_over, output)
    return 0 if all(tuned) else 3


def _tune(device: Device, output: Output) -> bool:
    """Measures a device and remembers what is fastest; False when no way to use it works."""
    from kernels.devices import opening
    from kernels.errors import KernelError
    from kernels.gpu import tune

    try:
        with output.busy(f"tuning {device.name}, at most {tune.SECONDS:.0f} s …"):
            best, trials = opening.tuned(device, BENCHMARK_N)
    except KernelError as error:
        output.note(f"{device.name} cannot be tuned: {error}")
        return False
    for trial in trials:
        output.event("trial", name=device.name, **asdict(trial))
    output.event("tuned", name=device.name, **asdict(best))
    if not output.json:
        _show_trials(device, best, trials, output)
    return True


def _show_trials(device: Device, best: Tuning, trials: list[Trial], output: Output) -> None:
    from rich.table import Table

    table = Table("layout", "labels in flight", "labels/s", title=device.name, title_justify="left")
    for trial in trials:
        chosen = trial.layout == best.layout and trial.share == best.share
        table.add_row(
            trial.layout.describe(),
            f"{trial.slots:,}",
            trial.error or f"{trial.labels_per_second:,.0f}",
            style="bold green" if chosen else None,
        )
    output.show(table)


def _measure(device: Device, arguments: argparse.Namespace, output: Output) -> float:
    """Labels a second at N = 8192 with the zero commitment, as the node's benchmark does."""
    from kernels.devices import rig

    with (
        common.open_pool([device], BENCHMARK_N, common.thread_count(arguments), output) as pool,
        output.busy(f"measuring {device.name} …"),
    ):
        return rig.labels_per_second(pool, arguments.seconds)


def _show(rows: list[tuple[Device, float | None]], passed_over: list[PassedOver], output: Output) -> None:
    from rich.table import Table

    table = Table("id", "class", "name", "memory", "driver", *(["labels/s"] if rows[0][1] is not None else []))
    for device, rate in rows:
        table.add_row(
            "-" if device.id is None else str(device.id),
            device.device_class,
            device.name,
            byte_size(device.memory_bytes),
            device.driver,
            *([f"{rate:,.0f}"] if rate is not None else []),
        )
    output.show(table)
    for missing in passed_over:
        output.say(f"[dim]passed over[/] {missing.what}: {missing.reason}")
