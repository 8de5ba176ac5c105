"""Opening the devices of engines, and opening them again: one path for everything that a card may do to us.

A card is used with a layout that was found right in a child process: the one that was remembered for it, else the
planner's, else the simplest. A wrong label, a build that fails, a process that dies or does not answer: the next layout
is tried, whichever of these it was, at the start and later; after the last one the card is given up, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kernels.devices.types import Device, Engine, Reopenable
from kernels.errors import KernelError
from kernels.gpu import engine as gpu_engine
from kernels.gpu import probe, tune
from kernels.gpu.layout import Layout, Tuning, check_scrypt_n, layout_of
from kernels.labels import cpu

REOPEN_SECONDS = 30.0
"""For a device that failed, to compute one label in a child process; its kernel was compiled before."""

Ask = Callable[..., Any]
"""`probe.ask`, or what stands in for it in a test."""


class NoLayoutLeft(KernelError):
    """A card has failed with every layout that it has."""


def engines(
    device: Device,
    scrypt_n: int,
    threads: int,
    memory_bytes: int | None = None,
    *,
    note: Callable[[str], None] = lambda message: None,
    ask: Ask | None = None,
) -> list[Engine]:
    """The engines of a device for a pool, tuned as was measured before; `memory_bytes` limits what a GPU may use.

    Raises `KernelError` when its driver hangs, crashes or refuses, or when its first label is wrong, with every layout;
    `MemoryShortage` when not even one label fits.
    """
    if device.backend == "cpu":
        return list(cpu.engines(device, scrypt_n, threads))
    check_scrypt_n(scrypt_n)
    tuning = tune.remembered(device, scrypt_n)
    wishes: list[object] = [*([asdict(tuning.layout)] if tuning else []), "default", "simple"]
    failed: list[Layout] = []
    for place, wish in enumerate(wishes):
        try:
            opening = _tried(device, scrypt_n, wish, memory_bytes, ask or probe.ask, probe.OPEN_SECONDS)
            if opening.layout in failed and place + 1 < len(wishes):
                continue
            kept = tuning is not None and opening.layout == tuning.layout
            later = [layout for layout in opening.later if layout != opening.layout and layout not in failed]
            chosen = tuning if kept else Tuning(opening.layout)
            return list(gpu_engine.engines(device, scrypt_n, memory_bytes, chosen, later_layouts=later, note=note))
        except KernelError as error:
            if tuning is not None and place == 0:
                tune.forget(device, scrypt_n)
                failed.append(tuning.layout)
            if place + 1 == len(wishes):
                raise
            how = "as it was tuned" if isinstance(wish, dict) else f"with its {wish} layout"
            note(f"{error}. {device.name} does not work {how}; trying the next one.")
    raise AssertionError("the last wish returns or raises")


def tuned(
    device: Device, scrypt_n: int, seconds: float | None = None, ask: Ask | None = None
) -> tuple[Tuning, list[tune.Trial]]:
    """Measures a GPU in a child process and remembers the best; (it, all trials). `seconds`: default `tune.SECONDS`.

    Raises `KernelError` when no candidate works.
    """
    limit = tune.SECONDS if seconds is None else seconds
    question = {"device": asdict(device), "scrypt_n": scrypt_n, "seconds": limit}
    answer = (ask or probe.ask)(device.backend, "tune", question, timeout_s=limit + tune.MARGIN_SECONDS)
    trials = [tune.Trial(**{**values, "layout": layout_of(values["layout"])}) for values in answer]
    best = tune.best_of(trials)
    if best is None:
        reasons = "; ".join(f"{trial.layout.describe()}: {trial.error}" for trial in trials[:3])
        raise KernelError(f"{device.name} (driver {device.driver}): no layout works ({reasons})")
    tune.remember(device, scrypt_n, best)
    return best, trials


def reopen(engine: Engine, *, next_first: bool = False, trusted: bool = True, ask: Ask | None = None) -> bool:
    """Opens the device of an engine again after a failure; False for an engine that has nothing to open.

    With the layout that it has, or first with later ones (`next_first`), or with later ones alone (not `trusted`): the
    first that works in a child process, so that a driver that hangs now does not take the program along. Raises
    `NoLayoutLeft`, or the `KernelError` of the last layout that was tried.
    """
    if not isinstance(engine, Reopenable):
        return False
    same: Sequence[Layout] = [engine.layout] if trusted else []
    later: Sequence[Layout] = engine.later_layouts
    layouts = [*later, *same] if next_first else [*same, *later]
    last: KernelError = NoLayoutLeft(f"{engine.device.name}: no other layout is left to try")
    for layout in layouts:
        if not engine.current:
            return True  # another engine of the device has seen to it
        try:
            _tried(engine.device, engine.scrypt_n, asdict(layout), None, ask or probe.ask, REOPEN_SECONDS)
            engine.reopen(layout)
            return True
        except KernelError as error:
            last = error
    raise last


@dataclass(frozen=True, slots=True)
class _Opening:
    """A layout that computed a right label, and others that may."""

    layout: Layout
    later: tuple[Layout, ...]


def _tried(device: Device, scrypt_n: int, wish: object, memory: int | None, ask: Ask, seconds: float) -> _Opening:
    """The layout with which a child process computed label 0. Raises `KernelError`, also when it is wrong."""
    question = {"device": asdict(device), "scrypt_n": scrypt_n, "layout": wish, "memory_bytes": memory}
    answer = ask(device.backend, "open", question, timeout_s=seconds)
    found, right = bytes.fromhex(answer["label"]), _right_label(scrypt_n)
    layout = layout_of(answer["layout"])
    if found != right:
        raise KernelError(
            f"{device.name} (driver {device.driver}) computes wrong labels with the layout {layout.describe()}: "
            f"label 0 is {found.hex()} instead of {right.hex()}; install another version of its driver"
        )
    return _Opening(layout, tuple(layout_of(one) for one in answer.get("later", ())))


def _right_label(scrypt_n: int) -> bytes:
    from kernels.labels import scalar as scrypt_scalar

    return scrypt_scalar.label32(bytes(32), 0, scrypt_n)
