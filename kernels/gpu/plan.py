"""How many labels are in flight on a graphics card, and which layout suits it: pure functions of its numbers.

A `Plan` is a layout and its memory: slots (labels in flight, in full waves, so that every part of the chip has the same
work), and up to four lookup buffers, because drivers limit one allocation to a part of the memory. When an allocation
fails all the same, `halved` gives the next plan. Which layout suits which card is the result of counting instructions
and memory traffic, and only a starting point for `tune`. Specified in protocol 01-post-tools, sections 1.3 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kernels.errors import MemoryShortage
from kernels.gpu.layout import MAX_ITEMS_PER_UNIT, ROW_BYTES, DeviceNumbers, Layout, Tuning, check_scrypt_n

MAX_BUFFERS = 4
"""Lookup buffers that the kernel takes."""

MEMORY_SHARE = 0.85
"""Of a card's memory; the rest is for its driver, a screen, and what its numbers do not tell."""

SHARED_SHARE = 0.5
"""Of the main memory that is free, where it is the card's memory too: the rest of the machine lives in it."""

FREE_HEADROOM = 256 << 20
"""Bytes left of what the driver says is free: other programs grow too."""

ITEMS_PER_UNIT = 128
"""Work items of one wave on a compute unit: a warp (half a wave on AMD) for each of its four parts."""

WARP, SUB_PARTITIONS = 32, 4
"""Items of NVIDIA's that work in step, and parts of a multiprocessor, each with its own registers and scheduler."""

REGISTER_UNIT = 8
"""Registers of an item are handed out in multiples of this."""

MAX_LAUNCH = 1 << 18
"""Labels of one launch; bounds the buffers beside the lookup memory."""

SIDE_BYTES = 128 + 32 + 40
"""Bytes a label of a launch needs beside its rows: state, result, VRF candidate (rounded up)."""

ENGINES = 2
"""Launches under way on a device at the same time: one computes while the other's result is read and checked."""


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


def budget(numbers: DeviceNumbers, limit: int | None = None) -> int:
    """Bytes that may be used: a share of the memory, less than what is free, and no more than `limit`."""
    most = int(numbers.memory_total * MEMORY_SHARE)
    if numbers.shared:
        free = numbers.memory_total if numbers.memory_free is None else numbers.memory_free
        most = min(most, int(free * SHARED_SHARE))
    elif numbers.memory_free is not None:
        most = min(most, numbers.memory_free - FREE_HEADROOM)
    return max(0, most if limit is None else min(most, limit))


def plan(
    numbers: DeviceNumbers,
    layout: Layout,
    scrypt_n: int,
    limit: int | None = None,
    share: float = 1.0,
    registers: int | None = None,
) -> Plan:
    """As many labels in flight as memory allows and the device can use, in full waves if there is room for one.

    `limit` is the most bytes that a person allows, `share` the part of the labels in flight that the device was
    found to need, `registers` what romix takes an item, if that is known. Raises `MemoryShortage` when not even one
    work-group fits, `KernelError` when N is no power of two.
    """
    check_scrypt_n(scrypt_n)
    layout = layout.fitted(scrypt_n, numbers.max_group)
    label_bytes, whole = layout.label_bytes(scrypt_n), layout.whole
    wave = _wave(numbers, layout)
    # the buffers beside the rows, sized below, take at most an eighth of what is there
    available = budget(numbers, limit)
    launch_room = available // 8 // (ENGINES * SIDE_BYTES)
    capacity = numbers.max_allocation // label_bytes // whole * whole
    slots = min(
        available * 7 // 8 // label_bytes, MAX_BUFFERS * capacity, _most(numbers, layout, registers), launch_room
    )
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


def _most(numbers: DeviceNumbers, layout: Layout, registers: int | None) -> int:
    """Labels in flight beyond which a device only waits: a CPU has nothing to hide, a GPU has limited registers."""
    if numbers.kind == "cpu":
        return _wave(numbers, layout)
    if registers is not None and numbers.unit_registers is not None:
        return resident_labels(numbers, layout, registers)
    return max(_wave(numbers, layout), numbers.compute_units * MAX_ITEMS_PER_UNIT // layout.lanes * layout.labels)


def resident_labels(numbers: DeviceNumbers, layout: Layout, registers: int) -> int:
    """Labels that an NVIDIA card holds at once, when romix takes that many registers an item.

    More in flight would wait for a second turn, in which most of the chip has nothing to do.
    """
    warp_registers = -(-registers // REGISTER_UNIT) * REGISTER_UNIT * WARP
    by_registers = (numbers.unit_registers or 0) // SUB_PARTITIONS // warp_registers
    warps = max(1, min(by_registers, numbers.unit_threads // WARP // SUB_PARTITIONS))
    return numbers.compute_units * SUB_PARTITIONS * warps * WARP // layout.lanes * layout.labels


def _with_slots(layout: Layout, scrypt_n: int, slots: int, capacity: int, wave: int, launch: int) -> Plan:
    buffers = -(-slots // capacity)
    each = -(-slots // buffers)
    per_buffer = -(-each // layout.whole) * layout.whole
    return Plan(layout, scrypt_n, slots, per_buffer, -(-slots // per_buffer), launch // slots * slots, wave)


# -- which layout ------------------------------------------------------------------------------------------------


def default_layout(
    numbers: DeviceNumbers, scrypt_n: int, limit: int | None = None, wanted: Layout | None = None
) -> Layout:
    """`wanted`, else what suits the device without a measurement; a larger gap where memory holds too few labels.

    Too few are less than two full waves: `limit` bytes, a small card or a large N leave parts of the chip idle.
    """
    layout = (wanted or candidates(numbers)[0]).fitted(scrypt_n, numbers.max_group)
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
    if numbers.stacked:
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
