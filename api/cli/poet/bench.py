"""`smesher poet bench`: what this core is worth as a PoET: leaves a second, and ticks on each network.

Measured in one thread, in turns with the latency of one hash and with hashlib; see `prover.measure.poet`. The ticks
are those of a whole round at the measured rate. Protocol 02-poet, section 6, and 02-poet-client, section 1.1.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from api.cli import common
from api.cli.output import Output
from api.edge.signals import stop_on_signal

if TYPE_CHECKING:
    from rich.table import Table

    from prover.measure.poet import Figures

DEFAULT_SECONDS = 15.0


def expected_ticks(leaves_per_second: float) -> dict[str, int]:
    """By network: ticks of a round at this rate."""
    from protocol.numbers.durations import SECOND
    from protocol.params.config.networks import BY_NAME

    found = {}
    for name, network in BY_NAME.items():
        epoch_ns = network.main.layer_duration_ns * network.main.layers_per_epoch
        seconds = (epoch_ns - network.poet.cycle_gap_ns) // SECOND
        found[name] = int(leaves_per_second * seconds) // network.main.tick_size
    return found


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `poet bench`."""
    parser.add_argument(
        "--seconds",
        type=common.seconds,
        default=DEFAULT_SECONDS,
        metavar="S",
        help=f"time to take (default {DEFAULT_SECONDS:.0f})",
    )


def bench(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0 and the figures, whatever they are."""
    stopped: list[bool] = []
    with stop_on_signal(lambda: stopped.append(True)), output.busy(f"measuring for about {arguments.seconds:.0f} s …"):
        from prover.measure.poet import measure

        figures = measure(arguments.seconds, lambda: bool(stopped))
    ticks = expected_ticks(figures.leaves_per_second)
    output.event("done", **figures.as_json(), expected_ticks=ticks)
    if not output.json:
        output.show(_table(figures, ticks))
    return 0


def _table(figures: Figures, ticks: dict[str, int]) -> Table:
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    kind = "SHA instructions" if figures.sha_instructions else "portable code"
    table.add_row("leaves a second", f"{figures.leaves_per_second:,.0f}", "by the clock")
    table.add_row("leaves a CPU second", f"{figures.leaves_per_cpu_second:,.0f}", f"one core, {kind}")
    table.add_row(
        "one hash of a hash",
        f"{figures.compression_ns:.1f} ns",
        f"hashlib in a loop: {figures.hashlib_chained_ns:.0f} ns",
    )
    share = figures.leaves_per_cpu_second / figures.bound
    table.add_row("of what its latency allows", f"{100 * share:.1f} %", f"{figures.bound:,.0f} leaves a second")
    table.add_row("verification of a proof", f"{figures.verify_us / 1000:.2f} ms", "150 leaves")
    for name, count in ticks.items():
        table.add_row(f"ticks of a round on {name}", f"{count:,}", "")
    return table
