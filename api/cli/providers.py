"""`smesher providers`: the devices that can compute labels, and why others were passed over."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from prover.errors import UsageError

from . import common
from .output import Output

if TYPE_CHECKING:
    from kernels.device import Device, PassedOver

BENCHMARK_N = 8192


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description = "List the devices that can compute labels, with the ids that the node uses for them."
    parser.add_argument("--benchmark", action="store_true", help="measure labels a second of every device")
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="time of the benchmark (default 3)")
    parser.add_argument("--threads", type=common.whole_number, metavar="T", help="CPU threads (default: all)")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0; with --json one object a line for each provider, then for each kind that was passed over."""
    from kernels import device

    if arguments.seconds <= 0:
        raise UsageError(f"--seconds is {arguments.seconds}, expected more than 0.")
    if arguments.benchmark:
        common.compile_kernels(output)
    rows = []
    for one in device.devices():
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
            compute_units=one.compute_units,
            aliases=list(one.aliases),
            **({} if rate is None else {"labels_per_second": round(rate, 1)}),
        )
    passed_over = device.passed_over()
    for missing in passed_over:
        output.event("passed_over", what=missing.what, reason=missing.reason)
    if not output.json:
        _show(rows, passed_over, output)
    return 0


def _measure(device: Device, arguments: argparse.Namespace, output: Output) -> float:
    """Labels a second at N = 8192 with the zero commitment, as the node's benchmark does."""
    with common.open_pool([device], BENCHMARK_N, common.thread_count(arguments), output) as pool:
        began, done = time.monotonic(), 0
        with output.busy(f"measuring {device.name} …"):
            for batch in pool.run(bytes(32), [(0, 1 << 40)]):
                done += len(batch.labels)
                if time.monotonic() - began >= arguments.seconds:
                    break
        return done / (time.monotonic() - began)


def _show(rows: list[tuple[Device, float | None]], passed_over: list[PassedOver], output: Output) -> None:
    from rich.table import Table

    table = Table("id", "class", "name", "memory", "driver", *(["labels/s"] if rows[0][1] is not None else []))
    for device, rate in rows:
        table.add_row(
            "-" if device.id is None else str(device.id),
            device.device_class,
            device.name,
            f"{device.memory_bytes / 2**30:.1f} GiB",
            device.driver,
            *([f"{rate:,.0f}"] if rate is not None else []),
        )
    output.show(table)
    for missing in passed_over:
        output.say(f"[dim]passed over[/] {missing.what}: {missing.reason}")
