"""The CUDA engine on the driver of this folder, with few labels in flight; and what it has to compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kernels.devices.types import VrfCandidate
from kernels.gpu import cuda_devices
from kernels.gpu import plan as plan_gpu
from kernels.gpu.engine import Card, LabelEngine
from kernels.gpu.layout import Layout
from kernels.labels import scalar as scrypt_scalar
from tests.support.cuda_shim.driver import ShimDevice, ShimDriver, as_driver

KEY = bytes.fromhex("72f83ca99604810287652e3402f62784f66ceecc3ca7fda28e680aa816cff153")
PLAIN = Layout(group=32)
SHARED = Layout(lanes=4, lane_op=2, group=32)
SLOTS = 32


def room(layout: Layout, scrypt_n: int, slots: int) -> int:
    """Bytes that hold just so many labels in flight."""
    return slots * max(-(-layout.label_bytes(scrypt_n) * 8 // 7), 8 * plan_gpu.ENGINES * plan_gpu.SIDE_BYTES) + 8


def open_engine(
    shim: ShimDevice,
    scrypt_n: int = 16,
    layout: Layout = PLAIN,
    slots: int = SLOTS,
    note: Callable[[str], None] = lambda message: None,
    driver: Callable[[ShimDevice], ShimDriver] = ShimDriver,
) -> LabelEngine:
    """An engine with so many labels in flight and no more of a launch."""
    plan = plan_gpu.plan(cuda_devices.numbers_of(shim.properties), layout, scrypt_n, room(layout, scrypt_n, slots))
    device = cuda_devices.device_of(shim.properties, "535.54, CUDA 12.2")
    plan = replace(plan, launch=plan.slots)
    return LabelEngine(Card(device, scrypt_n, plan=plan, note=note, opened=lambda one: as_driver(driver(shim))))


def compute(engine: LabelEngine, start: int, count: int, key: bytes = KEY) -> tuple[str, VrfCandidate]:
    out = np.full((count, 16), 0xEE, np.uint8)
    candidate = engine.labels(key, start, count, out)
    return out.tobytes().hex(), candidate


def expected(start: int, count: int, scrypt_n: int = 16, key: bytes = KEY) -> tuple[str, VrfCandidate]:
    full = [scrypt_scalar.label32(key, start + i, scrypt_n) for i in range(count)]
    least = min(range(count), key=lambda i: (full[i], i))
    return "".join(label[:16].hex() for label in full), VrfCandidate(start + least, full[least])
