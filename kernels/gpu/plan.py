"""How labels are laid out on a graphics card, and how many of them are in flight: pure functions of its numbers.

A `Layout` is one way to build `labels.cl`; a `Plan` adds the memory: slots (labels in flight, in full waves, so that
every part of the chip has the same work), and up to four lookup buffers, because drivers limit one allocation to a
part of the memory. When an allocation fails all the same, `halved` gives the next plan. Specified in protocol
01-post-tools, sections 1.3 and 8; which layout suits which card is the result of counting instructions and memory
traffic, and only a starting point for `tune`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kernels.errors import KernelError, MemoryShortage

ROW_BYTES = 128
MAX_BUFFERS = 4
"""Lookup buffers that the kernel takes."""

MEMORY_SHARE = 0.85
"""Of a card's memory; the rest is for its driver, a screen, and what its numbers do not tell."""

FREE_HEADROOM = 256 << 20
"""Bytes left of what the driver says is free: other programs grow too."""

ITEMS_PER_UNIT = 128
"""Work items of one wave on a compute unit: a warp (half a wave on AMD) for each of its four parts."""

MAX_ITEMS_PER_UNIT = 2048
"""More than a compute unit can hold at once."""

MAX_LAUNCH = 1 << 18
"""Labels of one launch; bounds the buffers beside the lookup memory."""

SIDE_BYTES = 128 + 32 + 40
"""Bytes a label of a launch needs beside its rows: state, result, VRF candidate (rounded up)."""

ENGINES = 2
"""Launches under way on a device at the same time: one computes while the other's result is read and checked."""


@functools.cache
def source() -> str:
    """The kernels of all cards, `labels.cl`."""
    return Path(__file__).with_name("labels.cl").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class DeviceNumbers:
    """What the planner knows of a device."""

    kind: str
    """"nvidia", "amd", "intel", "cpu" or "other"."""
    memory_total: int
    """Bytes."""
    memory_free: int | None
    """Bytes; None where the driver does not tell."""
    max_allocation: int
    """Bytes of one buffer."""
    compute_units: int
    max_group: int
    """Work items of one group."""
    lane_op: int = 0
    """How four work items exchange words, as `LANE_OP` of the kernel; 0: only through local memory."""
    rot_mul: bool = False
    """Whether the backend can turn rotations into multiplications (CUDA)."""
    hbm: bool = False
    """Stacked memory: enough bandwidth that storing every row is best."""
    capability: tuple[int, int] | None = None
    """NVIDIA's number of the architecture."""
    clock_hz: float | None = None
    """Of the compute units, at most; None where the driver does not tell."""
    bandwidth: float | None = None
    """Bytes a second of the memory, at most; None where the driver does not tell."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to build the kernel; the names are those of its options."""

    gap: int = 1
    lanes: int = 1
    vec: int = 4
    ilv: int = 1
    free: int = 0
    tile: int = 1
    group: int = 64
    lane_op: int = 0
    rot_mul: int = 0

    @property
    def labels(self) -> int:
        """Labels that one work item, or one crew of `lanes` items, works on at once."""
        return (self.vec // 4 if self.lanes == 1 else 1) * self.ilv

    @property
    def unit(self) -> int:
        """Labels of one work-group."""
        return max(1, self.group // self.lanes) * self.labels

    @property
    def whole(self) -> int:
        """Slots come in multiples of this: whole work-groups and whole tiles."""
        return math.lcm(self.tile, self.unit)

    def label_bytes(self, scrypt_n: int) -> int:
        """Lookup memory of one label."""
        return scrypt_n // self.gap * ROW_BYTES

    def options(self, scrypt_n: int) -> dict[str, int]:
        """The -D options of a build for one N."""
        return {"N": scrypt_n, **{name.upper(): value for name, value in asdict(self).items()}}

    def fitted(self, scrypt_n: int, max_group: int) -> Layout:
        """The nearest layout that this N and this device allow: no gap beyond N, no group beyond its largest."""
        gap = min(self.gap, scrypt_n)
        group = self.group
        while group > max_group:
            group //= 2
        if self.lanes == 4 and self.lane_op == 0 and gap > 1:
            group = 4  # exchange through local memory needs the whole group, and labels do not recompute equally long
        return replace(self, gap=gap, group=max(group, self.lanes), free=int(self.free and gap > 1))

    def describe(self) -> str:
        """In a few words, for a person."""
        parts = [
            f"gap {self.gap}{' free' if self.free else ''}",
            f"{self.lanes} items a label" if self.lanes > 1 else "",
        ]
        if self.lanes == 1 and self.labels > 1:
            parts.append(f"{self.labels} labels an item ({self.ilv} x uint{self.vec})")
        parts += [f"tile {self.tile}" if self.tile > 1 else "", f"groups of {self.group}"]
        parts.append(f"rotations by multiplication {self.rot_mul}" if self.rot_mul else "")
        return ", ".join(filter(None, parts))


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a device is used best, as far as was measured."""

    layout: Layout
    share: float = 1.0
    """Part of the labels in flight that memory would allow: more of them bring nothing."""
    labels_per_second: float = 0.0


def layout_of(values: Mapping[str, object]) -> Layout:
    """A layout from its fields, as a cache file keeps them. Raises ValueError for anything else."""
    names = asdict(Layout())
    if set(values) != set(names) or not all(type(value) is int for value in values.values()):
        raise ValueError(f"found {dict(values)!r}, expected whole numbers {', '.join(names)}")
    layout = Layout(**{name: int(str(value)) for name, value in values.items()})
    powers = (layout.gap, layout.tile, layout.group)
    choices = (
        (layout.lanes, (1, 4)),
        (layout.vec, (4, 8, 16)),
        (layout.ilv, (1, 2)),
        (layout.free, (0, 1)),
        (layout.lane_op, range(4)),
        (layout.rot_mul, range(16)),
    )
    if any(value < 1 or value & (value - 1) for value in powers) or any(value not in known for value, known in choices):
        raise ValueError(f"{layout} is not a layout of the kernel")
    return layout


@dataclass(frozen=True, slots=True)
class Plan:
    """A layout and its memory on one device."""

    layout: Layout
    scrypt_n: int
    slots: int
    """Labels in flight."""
    per_buffer: int
    """Slots in each lookup buffer."""
    buffers: int
    launch: int
    """Labels that one launch may have; a launch of more than `slots` goes through several waves."""
    wave: int
    """Slots of one full wave."""

    @property
    def buffer_bytes(self) -> int:
        """Bytes of one lookup buffer."""
        return self.per_buffer * self.layout.label_bytes(self.scrypt_n)

    @property
    def total_bytes(self) -> int:
        """Bytes of everything on the device."""
        return self.buffers * self.buffer_bytes + ENGINES * self.launch * SIDE_BYTES


def check_scrypt_n(scrypt_n: int) -> int:
    """Returns N. Raises `KernelError` for one that the kernel cannot be built for."""
    if scrypt_n < 2 or scrypt_n & (scrypt_n - 1):
        raise KernelError(f"scrypt N is {scrypt_n}, expected a power of two that is 2 or larger, such as 8192")
    return scrypt_n


def budget(numbers: DeviceNumbers, limit: int | None = None) -> int:
    """Bytes that may be used: a share of the memory, less than what is free, and no more than `limit`."""
    most = int(numbers.memory_total * MEMORY_SHARE)
    if numbers.memory_free is not None:
        most = min(most, numbers.memory_free - FREE_HEADROOM)
    return max(0, most if limit is None else min(most, limit))


def plan(numbers: DeviceNumbers, layout: Layout, scrypt_n: int, limit: int | None = None, share: float = 1.0) -> Plan:
    """As many labels in flight as memory allows and the device can use, in full waves if there is room for one.

    `limit` is the most bytes that a person allows, `share` the part of the labels in flight that the device was
    found to need. Raises `MemoryShortage` when not even one work-group fits,
    `KernelError` when N is no power of two.
    """
    check_scrypt_n(scrypt_n)
    layout = layout.fitted(scrypt_n, numbers.max_group)
    label_bytes, whole = layout.label_bytes(scrypt_n), layout.whole
    wave = _wave(numbers, layout)
    # the buffers beside the rows, sized below, take at most an eighth of what is there
    available = budget(numbers, limit)
    launch_room = available // 8 // (ENGINES * SIDE_BYTES)
    capacity = numbers.max_allocation // label_bytes // whole * whole
    slots = min(available * 7 // 8 // label_bytes, MAX_BUFFERS * capacity, _most(numbers, layout), launch_room)
    slots = max(int(slots * share), min(slots, wave))
    slots = slots // wave * wave or slots // whole * whole
    if slots == 0:
        needed = whole * (label_bytes + ENGINES * SIDE_BYTES) * 8 // 7 + 1
        usable = min(available, MAX_BUFFERS * numbers.max_allocation)
        raise MemoryShortage(needed, usable, f"one work-group of {whole} labels at N = {scrypt_n} on this device")
    return _with_slots(layout, scrypt_n, slots, capacity, wave, max(slots, min(MAX_LAUNCH, launch_room)))


def smallest(numbers: DeviceNumbers, layout: Layout, scrypt_n: int) -> Plan:
    """A single work-group, to try a device with. Raises as `plan` does."""
    fitted = plan(numbers, layout, scrypt_n).layout
    return Plan(fitted, scrypt_n, fitted.whole, fitted.whole, 1, fitted.whole, fitted.whole)


def halved(before: Plan, max_allocation: int) -> Plan:
    """The plan after an allocation failed: half the slots, in full waves while there are several.

    Raises `MemoryShortage` when one work-group is all there was.
    """
    layout, whole = before.layout, before.layout.whole
    half = before.slots // 2
    slots = half // before.wave * before.wave or half // whole * whole
    if slots == 0:
        raise MemoryShortage(before.total_bytes, 0, f"one work-group of {whole} labels on this device")
    label_bytes = layout.label_bytes(before.scrypt_n)
    capacity = max_allocation // label_bytes // whole * whole
    launch = max(slots, before.launch // 2)
    return _with_slots(layout, before.scrypt_n, slots, capacity, min(before.wave, slots), launch)


def _wave(numbers: DeviceNumbers, layout: Layout) -> int:
    if numbers.kind == "cpu":
        wave = numbers.compute_units * layout.unit
    else:
        wave = numbers.compute_units * ITEMS_PER_UNIT // layout.lanes * layout.labels
    return -(-wave // layout.whole) * layout.whole


def _most(numbers: DeviceNumbers, layout: Layout) -> int:
    """Labels in flight beyond which a device only waits: a CPU has nothing to hide, a GPU has limited registers."""
    if numbers.kind == "cpu":
        return _wave(numbers, layout)
    return max(_wave(numbers, layout), numbers.compute_units * MAX_ITEMS_PER_UNIT // layout.lanes * layout.labels)


def _with_slots(layout: Layout, scrypt_n: int, slots: int, capacity: int, wave: int, launch: int) -> Plan:
    buffers = -(-slots // capacity)
    each = -(-slots // buffers)
    per_buffer = -(-each // layout.whole) * layout.whole
    return Plan(layout, scrypt_n, slots, per_buffer, -(-slots // per_buffer), launch // slots * slots, wave)


# -- which layout ------------------------------------------------------------------------------------------------


def default_layout(numbers: DeviceNumbers, scrypt_n: int, limit: int | None = None) -> Layout:
    """The layout to use without a measurement; a larger gap where memory holds less than two full waves."""
    layout = candidates(numbers)[0].fitted(scrypt_n, numbers.max_group)
    while numbers.kind != "cpu" and layout.gap < min(8, scrypt_n):
        try:
            plenty = plan(numbers, layout, scrypt_n, limit).slots >= 2 * _wave(numbers, layout)
        except MemoryShortage:
            plenty = False
        if plenty or layout.ilv > 1:
            break
        layout = replace(layout, gap=2 * layout.gap, free=1)
    return layout


def candidates(numbers: DeviceNumbers) -> list[Layout]:
    """Layouts worth measuring, the most promising first."""
    if numbers.kind == "cpu":
        wide = [Layout(vec=vec, ilv=ilv, group=1) for vec in (16, 8, 4) for ilv in (2, 1)]
        return [*wide, Layout(vec=16, ilv=2, gap=2, group=1), Layout(vec=8, ilv=2, gap=2, group=1)]
    lanes, tiles = ([1, 4] if numbers.lane_op else [1]), [1, 32]
    if numbers.kind == "amd" and numbers.lane_op:
        lanes, tiles = [4, 1], [32, 1]  # lane exchange costs nothing there, and four items join their accesses
    return [
        Layout(gap=gap, lanes=lane, free=int(gap > 1), tile=tile, lane_op=numbers.lane_op if lane == 4 else 0)
        for gap in gaps(numbers)
        for lane in lanes
        for tile in tiles
    ]


GAPS = (1, 2, 4)

MIX_CYCLES = {"16 lanes": (1098, 1126, 1168), "32 lanes": (838, 855, 947)}
"""Cycles of a warp's block mix on NVIDIA, where the integer pipe of a quarter multiprocessor has so many lanes: first
half; a turn of the second half that stores every row; a turn that may recompute. Counted by `bench.gpu_static`."""

WORTH_A_LARGER_GAP = 0.95
"""A smaller gap is taken unless it is slower than this part of the best one: what is recomputed costs energy."""


def expected_rate(numbers: DeviceNumbers, gap: int, scrypt_n: int = 8192) -> float | None:
    """Labels a second by the roofline, the lower of what integer units and memory allow; None without the figures.

    A model that says which gap is best, not how fast a card is.
    """
    if numbers.kind != "nvidia" or not (numbers.capability and numbers.clock_hz and numbers.bandwidth):
        return None
    fill, stored, free = MIX_CYCLES["32 lanes" if numbers.capability >= (12, 0) else "16 lanes"]
    cycles = scrypt_n * (fill + (stored if gap == 1 else (1 + (gap - 1) / 2) * free))
    integer = numbers.compute_units * ITEMS_PER_UNIT * numbers.clock_hz / cycles
    memory = numbers.bandwidth / (scrypt_n * ROW_BYTES * (1 + 1 / gap))
    return min(integer, memory)


def gaps(numbers: DeviceNumbers) -> list[int]:
    """Lookup gaps, the most promising first: by the roofline where the driver tells its figures, else by the kind."""
    rates = {gap: rate for gap in GAPS if (rate := expected_rate(numbers, gap)) is not None}
    if rates:
        enough = WORTH_A_LARGER_GAP * max(rates.values())
        first = min(gap for gap, rate in rates.items() if rate >= enough)
        return [first, *sorted((gap for gap in GAPS if gap != first), key=lambda gap: -rates[gap])]
    if numbers.hbm:
        return [1, 2, 4]
    # GeForce 40 and 50 have two to three times the integer units of their predecessors for the same bandwidth
    starved = numbers.capability is not None and (numbers.capability == (8, 9) or numbers.capability >= (12, 0))
    return [4, 2, 1] if starved else [2, 1, 4]


def refinements(numbers: DeviceNumbers, best: Layout) -> list[Tuning]:
    """What to try beside the best of the candidates: other groups, rotations as multiplications, less memory."""
    if numbers.kind == "cpu":
        return []
    groups = [replace(best, group=group) for group in (32, 128, 256) if best.lanes * 8 <= group <= numbers.max_group]
    others = groups + ([replace(best, rot_mul=8)] if numbers.rot_mul else [])
    return [*(Tuning(layout) for layout in others), Tuning(best, share=0.5)]


def simplest(numbers: DeviceNumbers) -> Layout:
    """The layout that asks least of a driver: for a device that computes wrong labels with its best one."""
    return Layout(group=1) if numbers.kind == "cpu" else Layout(gap=2)
