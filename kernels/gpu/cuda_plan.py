"""How `labels.cl` is built for a CUDA device and how many labels are in flight on it: pure functions of its figures.

`plan_gpu` decides for all makes; what is CUDA's own stands here: the options of its compiler, and the labels that the
registers of a multiprocessor hold, beyond which more memory brings nothing. Specified in protocol 01-post-tools,
sections 1.3 and 8.
"""

from __future__ import annotations

from kernels.errors import KernelError
from kernels.gpu import plan as plan_gpu
from kernels.gpu.cuda_driver import Properties
from kernels.gpu.plan import DeviceNumbers, Layout

KERNELS = ("seed", "romix", "finish", "best", "seed_each", "finish_each")

WARP = 32
SUB_PARTITIONS = 4
"""Parts of a multiprocessor, each with its own registers and scheduler."""

REGISTER_UNIT = 8
"""Registers of a thread are handed out in multiples of this."""

STACKED_MEMORY = ((6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (10, 3))
"""Compute capabilities of chips with memory on the package."""


def numbers_of(properties: Properties, free: int | None = None) -> DeviceNumbers:
    """What the planner asks. A quarter of the memory an allocation: four find room where one of all does not."""
    return DeviceNumbers(
        kind="nvidia",
        memory_total=properties.memory_bytes,
        memory_free=free,
        max_allocation=properties.memory_bytes // plan_gpu.MAX_BUFFERS,
        compute_units=properties.multiprocessors,
        max_group=1024,
        lane_op=2,  # the CUDA dialect has one way to exchange lanes; any number but 0 says that it is quick
        rot_mul=True,
        hbm=properties.capability in STACKED_MEMORY,
        capability=properties.capability,
        clock_hz=properties.clock_hz,
        bandwidth=properties.bandwidth,
    )


def resident_labels(properties: Properties, layout: Layout, registers: int) -> int:
    """Labels that the device holds at once, when romix takes that many registers a thread.

    More in flight would wait for a second turn, in which most of the chip has nothing to do.
    """
    warp_registers = -(-registers // REGISTER_UNIT) * REGISTER_UNIT * WARP
    by_registers = properties.registers // SUB_PARTITIONS // warp_registers
    warps = max(1, min(by_registers, properties.threads // WARP // SUB_PARTITIONS))
    return properties.multiprocessors * SUB_PARTITIONS * warps * WARP // layout.lanes * layout.labels


def plan(
    properties: Properties, layout: Layout, scrypt_n: int, registers: int, free: int, limit: int | None = None
) -> plan_gpu.Plan:
    """The planner's answer, kept to the labels that registers can hold. Raises `MemoryShortage`."""
    # the planner gives an eighth of the room to what stands beside the rows, the rest to the rows
    each = max(-(-layout.label_bytes(scrypt_n) * 8 // 7), 8 * plan_gpu.ENGINES * plan_gpu.SIDE_BYTES)
    room = resident_labels(properties, layout, registers) * each
    return plan_gpu.plan(numbers_of(properties, free), layout, scrypt_n, room if limit is None else min(room, limit))


def options(layout: Layout, scrypt_n: int) -> tuple[str, ...]:
    """The compiler's options. Raises `KernelError` for a layout that the CUDA dialect does not have."""
    if layout.vec != 4 or (layout.lanes > 1 and layout.group % WARP):
        found = f"vec {layout.vec}, lanes {layout.lanes}, group {layout.group}"
        raise KernelError(f"layout {found} is not one for CUDA: expected vec 4, with lanes 4 groups of whole warps")
    return ("-std=c++17", *(f"-D{name}={value}" for name, value in layout.options(scrypt_n).items()))
