"""Which devices are here, why something was passed over, and how a person picks one.

Drivers of GPUs are asked in a child process (`probe`), because they may hang or crash. One entry a card: what several
drivers know by its PCI address is one device, and the other ways to drive it are `alternatives`, for those who name
them. Specified in protocol 01-post-tools, sections 1.1 and 8.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from kernels.devices.types import GPU_BACKENDS, Device, PassedOver, SelectionError
from kernels.errors import KernelError
from kernels.gpu import driver as drivers
from kernels.gpu import probe
from kernels.labels import cpu

_TITLES = {"cuda": "CUDA", "opencl": "OpenCL"}

_OF_ALL_MAKES = ("portable computing language", "rusticl", "clover")
"""OpenCL platforms that drive cards of other makers: the maker's own is taken first where both know a card."""

Ask = Callable[..., Any]
"""`probe.ask`, or what stands in for it in a test."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What all backends found."""

    devices: tuple[Device, ...]
    """One entry a device: GPUs in the reference's order, OpenCL's CPU devices, the CPU last."""
    alternatives: tuple[Device, ...]
    """Other ways to drive a card that is in `devices` already."""
    passed_over: tuple[PassedOver, ...]


class NoGpu(KernelError):
    """A GPU was asked for, and none can be used. The message says what was looked for."""


def devices() -> list[Device]:
    """All devices that can compute labels, in the order of the reference: GPUs first, the CPU last."""
    return list(_discovered().devices)


def alternatives() -> list[Device]:
    """The same cards through another driver: used when a person names that driver or its platform."""
    return list(_discovered().alternatives)


def passed_over() -> list[PassedOver]:
    """What was looked for besides `devices()`, and why it is not used."""
    return list(_discovered().passed_over)


@functools.cache
def _discovered() -> Discovery:
    return discover(probe.ask)


def discover(ask: Ask) -> Discovery:
    """Asks every backend; a driver that hangs, crashes or refuses is passed over with the reason."""
    with ThreadPoolExecutor(len(GPU_BACKENDS)) as threads:
        answers = list(threads.map(lambda backend: _asked(backend, ask), GPU_BACKENDS))
    listed = {backend: found for backend, (found, _) in zip(GPU_BACKENDS, answers)}
    passed = [reason for _, reasons in answers for reason in reasons]
    chosen, others = merged(listed["cuda"], listed["opencl"])
    return Discovery((*chosen, *cpu.devices()), tuple(others), tuple(passed))


def _asked(backend: str, ask: Ask) -> tuple[list[Device], list[PassedOver]]:
    module = drivers.backend(backend)
    if importlib.util.find_spec(module.PACKAGE) is None:
        return [], module.devices()[1]  # without its package a backend touches no driver
    try:
        answer = ask(backend, "list", timeout_s=probe.LIST_SECONDS)
        found = [probe.device_of(values) for values in answer["devices"]]
        return found, [PassedOver(**values) for values in answer["passed_over"]]
    except (KernelError, KeyError, TypeError) as error:
        return [], [PassedOver(_TITLES[backend], str(error))]


def merged(cuda: Sequence[Device], opencl: Sequence[Device]) -> tuple[list[Device], list[Device]]:
    """(one entry a device, the other entries): cards are the same when they have the same PCI address.

    A card that CUDA knows is driven through it; one that several OpenCL platforms know, through its maker's own. It
    keeps the place and the id of its first entry in OpenCL's list, which is the reference's; cards that only CUDA
    knows come after it.
    """
    by_address = {one.pci: one for one in cuda if one.pci is not None}
    chosen: list[Device] = []
    others: list[Device] = []
    seen: set[str] = set()
    for first in opencl:
        if first.pci is None or first.device_class != "GPU":
            chosen.append(first)
            continue
        if first.pci in seen:
            continue
        seen.add(first.pci)
        ways = [one for one in opencl if one.pci == first.pci]
        ways.sort(key=lambda one: one.platform.lower().startswith(_OF_ALL_MAKES))
        ways = [by_address[first.pci], *ways] if first.pci in by_address else ways
        chosen.append(replace(ways[0], id=first.id))
        others += ways[1:]
    gpus = [one for one in chosen if one.device_class == "GPU"]
    rest = [one for one in cuda if one.pci not in seen]
    ids = 1 + max((one.id for one in opencl if one.id is not None), default=-1)
    added = [replace(one, id=ids + place) for place, one in enumerate(rest)]
    return [*gpus, *added, *(one for one in chosen if one.device_class != "GPU")], others


def chosen(selectors: Sequence[str], *, gpus: bool = False, cpus: bool = False) -> list[Device]:
    """What a person asked for: named devices, all GPUs, the CPU; without a wish all GPUs, else the CPU.

    No driver of a GPU is asked when none is wanted. Raises `SelectionError`, or `NoGpu` where GPUs are wanted and none
    is there.
    """
    named = [selector.strip().lower() for selector in selectors]
    if not gpus and all(name == "cpu" for name in named) and (named or cpus):
        return cpu.devices()
    available = devices()
    picked = select(available, selectors, alternatives()) if selectors else []
    of_gpus = [one for one in available if one.device_class == "GPU"]
    if gpus and not of_gpus:
        looked_for = "; ".join(f"{one.what}: {one.reason}" for one in passed_over())
        found = ", ".join(one.name for one in available)
        raise NoGpu(
            f"No GPU can be used. Looked for {looked_for}. Found {found}. Use --cpu to compute on the processor, or "
            "install a GPU's driver; without a GPU the extra `pocl` (in smesher's folder: pip install '.[pocl]') "
            "brings an OpenCL device on the CPU."
        )
    of_cpu = [one for one in available if one.backend == "cpu"]
    wished = [*picked, *(of_gpus if gpus else []), *(of_cpu if cpus else [])]
    return list(dict.fromkeys(wished)) or of_gpus or of_cpu


def select(available: Sequence[Device], selectors: Sequence[str], others: Sequence[Device] = ()) -> list[Device]:
    """The devices that the selectors name, each once, in the order of `available`, then of `others`.

    A selector is an id, a PCI address, a place such as `opencl:1:0`, an alias, or a part of the name, platform, vendor
    or driver; case does not matter. `others` are further ways to drive the same cards: taken when only they match, or
    when an alias or place names them. Raises `SelectionError` when a selector matches nothing or is ambiguous.
    """
    picked: list[Device] = []
    for selector in selectors:
        matches = _matches(available, selector.strip().lower(), others)
        if not matches:
            raise SelectionError(f"no device matches {selector[:60]!r}", available)
        if len(matches) > 1:
            places = "; ".join(f"{one.place} ({_told_apart(one, matches)})" for one in matches)
            raise SelectionError(
                f"{selector[:60]!r} matches {len(matches)} devices; name one of them: {places}", matches
            )
        picked += matches
    return [device for device in (*available, *others) if device in picked]


def _told_apart(one: Device, of: Sequence[Device]) -> str:
    """What a person sees that distinguishes a device from the others."""
    facts: Iterable[tuple[str, Callable[[Device], object]]] = (
        ("id ", lambda device: device.id),
        ("", lambda device: device.pci),
        ("", lambda device: device.name),
        ("platform ", lambda device: device.platform),
        ("driver ", lambda device: device.driver),
    )
    differing = [(word, fact) for word, fact in facts if len({fact(device) for device in of}) > 1]
    return ", ".join(f"{word}{fact(one)}" for word, fact in differing if fact(one) is not None) or one.name


def _matches(available: Sequence[Device], wanted: str, others: Sequence[Device]) -> list[Device]:
    if not wanted:
        return []
    if wanted.isdecimal():
        numbered = [device for device in available if str(device.id) == wanted.lstrip("0").zfill(1)]
        if numbered or len(wanted) < 3:  # three digits and more may be the number in a card's name
            return numbered
    addressed = [device for device in available if wanted == (device.pci or "").lower()]
    exact = [
        device
        for device in (*available, *others)
        if wanted == device.place.lower() or wanted in [alias.lower() for alias in device.aliases]
    ]
    if addressed or exact:
        return addressed or exact
    for devices_ in (available, others):
        if found := [device for device in devices_ if _mentions(device, wanted)]:
            return found
    return []


def _mentions(device: Device, word: str) -> bool:
    return any(word in text.lower() for text in (device.name, device.platform, device.vendor, device.driver))
