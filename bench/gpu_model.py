"""Labels per second by the roofline: a model on counted instructions and public peaks, not a measurement.

labels/s = min(integer, memory, latency). Integer: what the sub-partitions can issue. Memory: every row written once
(in `gap` rows one) and read once. Latency: labels in flight over the time that one warp alone takes. The factor
`CALIBRATION` is the one public figure for the reference's kernel (RTX 3090, 487,000 labels/s) over this model's bound
for it. Take the figures as ± 25 %, the order of layouts as likely.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table

from bench.gpu_static import Analysis, Counts, N
from bench.settings import Show
from kernels.gpu.plan import REGISTER_UNIT, SUB_PARTITIONS, WARP

CALIBRATION = 0.82
MEMORY_PART = 0.9
"""Of the card's memory for rows."""

OPERATION_CYCLES, SHUFFLE_CYCLES, MEMORY_CYCLES = 4.5, 24, 800
"""Latencies, assumed."""

ROW_BYTES = 128


@dataclass(frozen=True, slots=True)
class Card:
    """Public figures: boards for GeForce, SXM modules for the others."""

    architecture: str
    multiprocessors: int
    boost_ghz: float
    gigabytes_a_second: float
    gigabytes: int


CARDS: Mapping[str, Card] = {
    "RTX 3090": Card("86", 82, 1.695, 936, 24),
    "RTX 4090": Card("89", 128, 2.52, 1008, 24),
    "RTX 5090": Card("120", 170, 2.41, 1792, 32),
    "A100 80 GB": Card("80", 108, 1.41, 2039, 80),
    "H100 SXM": Card("90", 132, 1.98, 3350, 80),
    "H200": Card("90", 132, 1.98, 4800, 141),
    "B200": Card("100", 148, 1.965, 8000, 180),
}

RESIDENT_WARPS = {"75": 8, "86": 12, "89": 12, "120": 12}
"""Warps of a sub-partition that its scheduler holds; 16 for all others."""

MI300X = {"compute_units": 304, "boost_ghz": 2.1, "gigabytes_a_second": 5300.0}
MI300X_MIX = (210, 222)
"""Vector instructions of a block mix of layout B at gap 1, four lanes a label, in either half: counted once with
clang 15 for gfx940, where the lane exchange is part of them; not counted again here."""

MI300X_LANES = 64
"""Lanes that a compute unit works on in one cycle."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Labels per second that one layout cannot pass on one card."""

    integer: float
    memory: float
    latency: float

    @property
    def lowest(self) -> float:
        """What the model gives."""
        return min(self.integer, self.memory, self.latency)

    @property
    def by(self) -> str:
        """What limits it."""
        return min(("integer", "memory", "latency"), key=lambda name: float(getattr(self, name)))


def cycles(counts: Counts, architecture: str) -> float:
    """Of one warp on its sub-partition: 16-lane pipes take two cycles an instruction, the shuffles of four
    sub-partitions share one pipe; from sm_120 on the integer pipe has 32 lanes and does the additions as well."""
    if int(architecture) >= 120:
        return max(counts.alu + counts.multiply_add, counts.all, 4 * counts.shuffles)
    return max(2 * counts.alu, 2 * counts.multiply_add, counts.all, 4 * counts.shuffles)


def bound(card: Card, one: Analysis) -> Bound:
    """The three bounds of a layout that was counted for the card's architecture."""
    layout = one.layout
    parts, per_warp = card.multiprocessors * SUB_PARTITIONS, WARP // layout.lanes * layout.labels
    hertz = card.boost_ghz * 1e9
    fill, turn = cycles(one.fill, card.architecture), cycles(one.turn, card.architecture)
    integer = parts * hertz / ((N * fill + one.turns * turn) / per_warp)
    memory = card.gigabytes_a_second * 1e9 / (N * ROW_BYTES * (1 / layout.gap + 1))
    warp_registers = -(-one.resources.registers // REGISTER_UNIT) * REGISTER_UNIT * WARP
    resident = min(RESIDENT_WARPS.get(card.architecture, 16), 65536 // SUB_PARTITIONS // warp_registers)
    room = card.gigabytes * 1e9 * MEMORY_PART / (N * ROW_BYTES / layout.gap) / parts / per_warp
    chain = 2 * 8 * 12 * OPERATION_CYCLES + (2 * 8 * SHUFFLE_CYCLES if layout.lanes == 4 else 0)
    mixes = layout.gap if not layout.free and layout.gap > 1 else 1
    alone = N * max(fill, chain) + one.turns * max(turn, chain * mixes) + N * MEMORY_CYCLES
    return Bound(integer, memory, parts * min(resident, room) * per_warp * hertz / alone)


def mi300x() -> Bound:
    """The card that is not counted here; its registers and memory leave latency out of it."""
    instructions = 4 * N * sum(MI300X_MIX)
    lanes = MI300X["compute_units"] * MI300X_LANES * MI300X["boost_ghz"] * 1e9
    memory = MI300X["gigabytes_a_second"] * 1e9 / (N * ROW_BYTES * 2)
    return Bound(lanes / instructions, memory, float("inf"))


def run(analyses: Mapping[tuple[str, str], Analysis], show: Show) -> dict[str, object]:
    """The bounds of every layout on every card whose architecture was counted; the best is marked."""
    result: dict[str, object] = {"calibration": CALIBRATION}
    table = Table(
        title="labels/s, thousands: a MODEL on public peaks, not measured; last column × 0.82", title_justify="left"
    )
    for heading in ("card", "layout", "integer", "memory", "latency", "bound", "limited by", "expected"):
        table.add_column(heading, justify="left" if heading in ("card", "layout", "limited by") else "right")
    bounds = {
        card: {name: bound(figures, one) for (sm, name), one in analyses.items() if sm == figures.architecture}
        for card, figures in CARDS.items()
    }
    bounds["MI300X"] = {"B gap 1": mi300x()}
    for card, layouts in bounds.items():
        top = max((one.lowest for one in layouts.values()), default=0.0)
        for name, one in layouts.items():
            mark = "bold" if one.lowest >= 0.97 * top else None
            figures_shown = [f"{value / 1e3:,.0f}" for value in (one.integer, one.memory)]
            latency = "-" if one.latency == float("inf") else f"{one.latency / 1e3:,.0f}"
            expected = f"{one.lowest * CALIBRATION / 1e3:,.0f}"
            table.add_row(card, name, *figures_shown, latency, f"{one.lowest / 1e3:,.0f}", one.by, expected, style=mark)
        result[card] = {
            name: {
                "integer": one.integer,
                "memory": one.memory,
                "latency": None if one.latency == float("inf") else one.latency,
                "bound": one.lowest,
                "expected": one.lowest * CALIBRATION,
            }
            for name, one in layouts.items()
        }
    show(table)
    return result
