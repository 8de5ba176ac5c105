"""The CUDA engine on the driver of this folder, with few labels in flight; and what it has to compute."""

from __future__ import annotations

import numpy as np

from kernels.devices.types import Device, VrfCandidate
from kernels.gpu import cuda
from kernels.gpu import plan as plan_gpu
from kernels.gpu.cuda import LabelEngine
from kernels.gpu.plan import Layout
from kernels.labels import scalar as scrypt_scalar
from tests.support.cuda_shim.driver import ShimDriver

KEY = bytes.fromhex("72f83ca99604810287652e3402f62784f66ceecc3ca7fda28e680aa816cff153")
PLAIN = Layout(group=32)
SHARED = Layout(lanes=4, lane_op=2, group=32)
SLOTS = 32


def room(layout: Layout, scrypt_n: int, slots: int) -> int:
    """Bytes that hold just so many labels in flight."""
    return slots * max(-(-layout.label_bytes(scrypt_n) * 8 // 7), 8 * plan_gpu.ENGINES * plan_gpu.SIDE_BYTES) + 8


def open_engine(
    driver: ShimDriver, scrypt_n: int = 16, layout: Layout = PLAIN, slots: int = SLOTS, device: Device | None = None
) -> LabelEngine:
    device = device or cuda.device_of(driver.properties, "535.54, CUDA 12.2")
    return LabelEngine(device, scrypt_n, layout=layout, memory_bytes=room(layout, scrypt_n, slots), driver=driver)


def compute(engine: LabelEngine, start: int, count: int, key: bytes = KEY) -> tuple[str, VrfCandidate]:
    out = np.full((count, 16), 0xEE, np.uint8)
    candidate = engine.labels(key, start, count, out)
    return out.tobytes().hex(), candidate


def expected(start: int, count: int, scrypt_n: int = 16, key: bytes = KEY) -> tuple[str, VrfCandidate]:
    full = [scrypt_scalar.label32(key, start + i, scrypt_n) for i in range(count)]
    least = min(range(count), key=lambda i: (full[i], i))
    return "".join(label[:16].hex() for label in full), VrfCandidate(start + least, full[least])
