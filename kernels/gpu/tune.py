"""Autotune: which layout and how many labels in flight are fastest on a device, found by a short measurement.

Every candidate has to give right labels before it is timed; the time is the device's own. What was found is kept in
the user's cache directory under the device, its driver and the kernel source, so that a new driver or kernel is
measured anew. Without a measurement the planner's default is used. Specified in protocol 01-post-tools, section 8.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kernels.devices.types import Device, Labels
from kernels.errors import KernelError
from kernels.gpu import engine
from kernels.gpu import plan as plan_gpu
from kernels.gpu.driver import Backend
from kernels.gpu.layout import DeviceNumbers, Layout, Tuning, kernel_hash, layout_of

SECONDS = 30.0
"""Most that tuning one device takes."""

TRIAL_SECONDS = 1.0
"""What timing one candidate takes, building and checking it apart."""

MARGIN_SECONDS = 120.0
"""Beyond the time for tuning after which a device is believed to hang: a compiler is slow, but not that slow."""

CHECKED = 32
"""Labels of a candidate's first launch that are compared with the CPU's."""

COMMITMENT = bytes(range(32))
FIRST_INDEX = 2**32 - 40
"""The labels of the check lie on both sides of 2^32, where a 32-bit index would wrap."""

LESS_MEMORY_GAIN = 0.98
"""Half the labels in flight are enough when they keep this share of the speed."""

CONTENDERS, NEAR = 3, 0.85
"""So many of the candidates are measured twice, if they reach this share of the fastest; the better time counts."""

Known = Callable[[Sequence[int]], Labels]
"""Right labels of `COMMITMENT` for given indices, uint8[n, 32]."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out for one candidate."""

    layout: Layout
    share: float
    slots: int
    labels_per_second: float
    """0 when it failed."""
    error: str = ""


def measure(backend: Backend, device: Device, scrypt_n: int, seconds: float) -> list[Trial]:
    """All trials on a device, in this process."""
    from kernels.labels import cpu

    reference = cpu.LabelEngine(cpu.devices()[0], scrypt_n, cpu.usable_cores())
    known: dict[int, Any] = {}

    def right(indices: Sequence[int]) -> Labels:
        missing = [index for index in indices if index not in known]
        if missing:
            known.update(zip(missing, reference.labels32([COMMITMENT], missing)))
        return np.array([known[index] for index in indices], np.uint8)

    def opened(tuning: Tuning) -> Any:
        return engine.LabelEngine(engine.Card(device, scrypt_n, tuning=tuning))

    numbers = backend.Driver(device).numbers
    try:
        return list(trials(numbers, opened, right, seconds))
    finally:
        reference.close()


def trials(
    numbers: DeviceNumbers,
    opened: Callable[[Tuning], Any],
    known: Known,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Trial]:
    """Tries the candidates, the best of them once more, then refinements of the best, until the time is up."""
    end = clock() + seconds
    last = 0.0
    done: list[Trial] = []
    for stage in (_candidates, _contenders, _refined):
        for tuning in stage(numbers, done):
            began = clock()
            if done and began + last > end:
                return
            done.append(_tried(opened, tuning, known, clock))
            # the first one bears what is paid once: the driver, the context, kernels that all layouts share
            last = clock() - began
            yield done[-1]


def _candidates(numbers: DeviceNumbers, done: Sequence[Trial]) -> list[Tuning]:
    return [Tuning(layout) for layout in plan_gpu.candidates(numbers)]


def _contenders(numbers: DeviceNumbers, done: Sequence[Trial]) -> list[Tuning]:
    """Those that came near the best: other programs may have held one of them up."""
    rates = sorted((trial.labels_per_second for trial in done), reverse=True)
    near = [trial for trial in done if trial.labels_per_second > NEAR * rates[0] and rates[0] > 0]
    chosen = sorted(near, key=lambda trial: -trial.labels_per_second)[:CONTENDERS]
    return [Tuning(trial.layout) for trial in chosen] if len(chosen) > 1 else []


def _refined(numbers: DeviceNumbers, done: Sequence[Trial]) -> list[Tuning]:
    best = best_of(done)
    return [] if best is None else plan_gpu.refinements(numbers, best.layout)


def _tried(opened: Callable[[Tuning], Any], tuning: Tuning, known: Known, clock: Callable[[], float]) -> Trial:
    slots = 0
    try:
        engine = opened(tuning)
    except KernelError as error:
        return Trial(tuning.layout, tuning.share, 0, 0.0, str(error))
    try:
        slots = engine.granularity
        count = max(slots, CHECKED)
        wrong = _wrong(engine, count, known)
        if wrong:
            return Trial(tuning.layout, tuning.share, slots, 0.0, wrong)
        labels, began = 0, clock()
        # the device's own time where its engine tells it, so that what the host does beside counts nothing
        busy = getattr(engine, "busy_seconds", None)
        while clock() - began < TRIAL_SECONDS:
            engine.labels(COMMITMENT, labels, count, np.empty((count, 16), np.uint8))
            labels += count
            # launches grow to what is worth the device's while: only the larger ones count
            count = max(count, min(8 * count, plan_gpu.MAX_LAUNCH, int(labels / max(clock() - began, 1e-6) / 4)))
            count -= count % slots
        seconds = clock() - began if busy is None else engine.busy_seconds - busy
        return Trial(tuning.layout, tuning.share, slots, labels / max(seconds, 1e-6))
    except KernelError as error:
        return Trial(tuning.layout, tuning.share, slots, 0.0, str(error))
    finally:
        engine.close()


def _wrong(engine: Any, count: int, known: Known) -> str:
    """What is wrong with the labels of a whole wave; compared are some of its first, its last, and some between."""
    out = np.empty((count, 16), np.uint8)
    candidate = engine.labels(COMMITMENT, FIRST_INDEX, count, out)
    places = sorted(
        {*range(min(count, CHECKED // 2)), *(count * k // (CHECKED // 2) for k in range(CHECKED // 2)), count - 1}
    )
    right = known([FIRST_INDEX + place for place in places])
    for place, label in zip(places, right):
        if out[place].tobytes() != label[:16].tobytes():
            found, expected = out[place].tobytes().hex(), label[:16].tobytes().hex()
            return f"label {FIRST_INDEX + place} is wrong: {found} instead of {expected}"
    words = out[:, :8].copy().view(">u8").ravel()
    if int(words.min()) != int.from_bytes(candidate.label32[:8], "big"):
        return f"the smallest label is not {candidate.index}"
    return ""


def best_of(done: Sequence[Trial]) -> Tuning | None:
    """The fastest that works, every time it was tried; with half the labels in flight if that is as good."""
    failed = {(trial.layout, trial.share) for trial in done if trial.error}
    working = [trial for trial in done if trial.labels_per_second > 0 and (trial.layout, trial.share) not in failed]
    if not working:
        return None
    best = max(working, key=lambda trial: trial.labels_per_second)
    enough = [trial for trial in working if trial.labels_per_second >= LESS_MEMORY_GAIN * best.labels_per_second]
    chosen = min(
        (trial for trial in enough if trial.layout == best.layout),
        key=lambda trial: (trial.share, -trial.labels_per_second),
    )
    return Tuning(chosen.layout, chosen.share, round(chosen.labels_per_second, 1))


# -- what was found before -----------------------------------------------------------------------------------------


def folder() -> Path:
    """Where tunings are kept, below the user's cache directory."""
    if platform.system() == "Darwin":
        return Path.home() / "Library" / "Caches" / "smesher" / "tuning"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smesher" / "tuning"


def _key(device: Device, scrypt_n: int) -> list[str]:
    figures = (str(device.compute_units), str(scrypt_n))
    return [device.backend, device.platform, device.name, device.driver, *figures, kernel_hash()]


def _file(device: Device, scrypt_n: int) -> Path:
    return folder() / f"{hashlib.sha256(json.dumps(_key(device, scrypt_n)).encode()).hexdigest()[:32]}.json"


def remember(device: Device, scrypt_n: int, tuning: Tuning) -> None:
    """Keeps a tuning. A cache that cannot be written is none: the next run measures again or takes the default."""
    file = _file(device, scrypt_n)
    document = {"Key": _key(device, scrypt_n), **asdict(tuning)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as temporary:
            json.dump(document, temporary, indent=2)
        os.replace(temporary.name, file)
    except OSError:
        return


def remembered(device: Device, scrypt_n: int) -> Tuning | None:
    """What was found for this device, driver, N and kernel; None when nothing was, or the file is damaged."""
    try:
        document = json.loads(_file(device, scrypt_n).read_bytes())
        share, rate = float(document["share"]), float(document["labels_per_second"])
        if document["Key"] != _key(device, scrypt_n) or not 0 < share <= 1:
            return None
        return Tuning(layout_of(document["layout"]), share, rate)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def forget(device: Device, scrypt_n: int) -> None:
    """Drops a tuning that does not work any more. One that cannot be deleted fails again, and is passed over again."""
    try:
        _file(device, scrypt_n).unlink(missing_ok=True)
    except OSError:
        return
