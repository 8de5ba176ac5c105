"""How the kernel `labels.cl` is built for a card: a `Layout` is one way, and `DeviceNumbers` are what decides for it.

The names are those of the kernel's options. Specified in protocol 01-post-tools, section 1.3.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kernels.errors import KernelError

ROW_BYTES = 128

MAX_ITEMS_PER_UNIT = 2048
"""More than a compute unit can hold at once."""

STACKED_BITS = 1024
"""Lines of a memory bus that only memory on the package has: other cards have 512 at most."""

STACKED_CAPABILITIES = ((6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (10, 3))
"""Architectures of NVIDIA's chips with memory on the package, for drivers that do not tell the bus."""


@functools.cache
def source() -> str:
    """The kernels of all cards, `labels.cl`."""
    return Path(__file__).with_name("labels.cl").read_text(encoding="utf-8")


@functools.cache
def kernel_hash() -> str:
    """Names the kernel source, for what is remembered about it."""
    return hashlib.sha256(source().encode()).hexdigest()[:16]


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
    shared: bool = False
    """Its memory is the machine's main memory; `memory_free` is then what is free of that."""
    bus_bits: int | None = None
    """Lines of the memory's bus; None where the driver does not tell."""
    capability: tuple[int, int] | None = None
    """NVIDIA's number of the architecture."""
    clock_hz: float | None = None
    """Of the compute units, at most; None where the driver does not tell."""
    bandwidth: float | None = None
    """Bytes a second of the memory, at most; None where the driver does not tell."""
    unit_registers: int | None = None
    """32-bit registers of a compute unit; None where the driver does not tell."""
    unit_threads: int = MAX_ITEMS_PER_UNIT
    """Work items that a compute unit holds at most."""

    @property
    def stacked(self) -> bool:
        """Whether the memory stands on the package: so much bandwidth that storing every row is best."""
        if self.bus_bits is not None:
            return self.bus_bits >= STACKED_BITS
        return self.capability in STACKED_CAPABILITIES


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


def check_scrypt_n(scrypt_n: int) -> int:
    """Returns N. Raises `KernelError` for one that the kernel cannot be built for."""
    if scrypt_n < 2 or scrypt_n & (scrypt_n - 1):
        raise KernelError(f"scrypt N is {scrypt_n}, expected a power of two that is 2 or larger, such as 8192")
    return scrypt_n
