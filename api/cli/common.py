"""What the commands on PoST data share: options, parsing of their values, devices and pools."""

from __future__ import annotations

import argparse
import difflib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from api.edge.errors import EnvironmentFault, UsageError
from api.edge.text import hint_of_base64, is_whole, shown, typed
from api.edge.threads import limited_threads
from protocol.params.post import NETWORKS, PostParams, network

from .output import Output

if TYPE_CHECKING:
    from kernels.devices.pool import Pool
    from kernels.devices.spot_check import Sample
    from kernels.devices.types import Device, Engine

UNITS_WITHOUT_LIMIT = 2**32 - 1
NOTHING: Mapping[str, int] = MappingProxyType({})

CHECK_ONE_IN = 1 << 16
"""Labels of a GPU of which one is recomputed on the CPU."""

SENSOR_SECONDS = 2.0
"""How often the drivers are asked for temperatures."""


def hex_bytes(text: str, option: str, size: int = 32) -> bytes:
    """`size` bytes from hex digits. Raises UsageError that names the option."""
    word = typed(text)
    digits = word[2:] if word[:2] in ("0x", "0X") else word
    if not re.fullmatch("[0-9a-fA-F]*", digits):
        hint = hint_of_base64(word, size)
        raise UsageError(
            f"{option} is {shown(text, 100)}, expected {2 * size} hex digits{f' ({hint})' if hint else ''}."
        )
    if len(digits) != 2 * size:
        raise UsageError(f"{option} has {len(digits)} hex digits, expected {2 * size} ({size} bytes).")
    return bytes.fromhex(digits)


def path(text: str) -> Path:
    """argparse type: a path that is not empty; an empty one would be the current directory."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("it is empty, expected the name of a file or directory")
    return Path(text)


def whole_number(text: str) -> int:
    """argparse type: a whole number of 0 or more, decimal."""
    if not is_whole(text) or len(text) > 20:
        raise argparse.ArgumentTypeError(f"found {shown(text)}, expected a whole number")
    return int(text)


def seconds(text: str) -> float:
    """argparse type: a time in seconds, more than none and less than a day."""
    try:
        value = float(text) if len(text) <= 20 else -1.0
    except ValueError:
        value = -1.0
    if not 0 < value < 86_400:
        raise argparse.ArgumentTypeError(f"found {shown(text)}, expected seconds, more than 0 and less than a day")
    return value


def threads(text: str) -> int:
    """argparse type: a number of threads that this machine can use."""
    number = whole_number(text)
    try:
        limited_threads(number)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--threads is ").removesuffix(".")) from None
    return number


def signed_number(text: str) -> int:
    """argparse type: a whole number, perhaps negative (refused later, with its meaning)."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    return sign * whole_number(digits)


def percent(text: str) -> float:
    """argparse type: a share in percent."""
    try:
        value = float(text.rstrip("%")[:40])
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {shown(text)}, expected a number of percent") from None
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"found {text}, expected 0 to 100 percent")
    return value


def memory_size(text: str) -> int:
    """argparse type: a number of bytes, with K, M, G or T for the binary units, and iB or B behind them or not."""
    digits = text.strip().upper().removesuffix("IB").removesuffix("B")
    shift = {"K": 10, "M": 20, "G": 30, "T": 40}.get(digits[-1:], 0)
    try:
        plain = digits[:-1] if shift else digits
        value = int(plain) << shift if is_whole(plain) else int(float(plain[:20]) * (1 << shift))
    except (ValueError, OverflowError):
        value = -1
    if not 0 < value < 1 << 60:
        raise argparse.ArgumentTypeError(f"found {shown(text)}, expected a size in bytes such as 6G or 512M")
    return value


def add_scrypt_arguments(parser: argparse.ArgumentParser) -> None:
    """--network or --scrypt-n, for commands that recompute labels of existing data."""
    group = parser.add_argument_group("scrypt N (default: as recorded, else found from stored labels)")
    group.add_argument("--network", metavar="NAME", help=f"one of {', '.join(NETWORKS)}: use its scrypt N")
    group.add_argument("--scrypt-n", type=whole_number, metavar="N", help="a power of two from 2")


def asked_scrypt_n(arguments: argparse.Namespace) -> int | None:
    """The scrypt N that --network or --scrypt-n ask for; None when neither is given."""
    from protocol.post.rules import check_scrypt_n

    if arguments.scrypt_n is not None:
        return check_scrypt_n(arguments.scrypt_n)
    return network(arguments.network).scrypt_n if arguments.network is not None else None


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """--cpu, --gpu, --provider, --threads, --gpu-memory, --check."""
    group = parser.add_argument_group("devices (default: all GPUs, else the CPU)")
    group.add_argument("--cpu", action="store_true", help="use the CPU")
    group.add_argument("--gpu", action="store_true", help="use all GPUs")
    group.add_argument(
        "--provider",
        action="append",
        default=[],
        metavar="SEL",
        help="use this device; repeatable. SEL is an id of `smesher providers`, a part of a name, platform, "
        "vendor or driver, a PCI address, or cpu, opencl, cuda, pocl",
    )
    group.add_argument("--threads", type=threads, metavar="T", help="CPU threads (default: all processors)")
    group.add_argument(
        "--gpu-memory", type=memory_size, metavar="SIZE", help="most that each GPU may use, such as 6G (default: 85 %%)"
    )
    group.add_argument(
        "--check",
        type=whole_number,
        default=CHECK_ONE_IN,
        metavar="N",
        help="recompute one in N labels of a GPU on the CPU, and the last of each batch (default 65536; 0: only that)",
    )


def chosen_devices(arguments: argparse.Namespace) -> list[Device]:
    """The devices that the options name. Raises SelectionError, or EnvironmentFault when no GPU is there."""
    from kernels.devices import types as device
    from kernels.labels import cpu

    named = [selector.strip().lower() for selector in arguments.provider]
    if not arguments.gpu and all(name == "cpu" for name in named) and (named or arguments.cpu):
        return cpu.devices()  # no driver of a GPU is asked when none is wanted
    available = device.devices()
    if any(name in ("opencl", "cuda") for name in named):
        available += device.alternatives()  # a card that both drive is listed once, unless one of them is named
    chosen = device.select(available, arguments.provider) if arguments.provider else []
    gpus = [one for one in available if one.device_class == "GPU"]
    if arguments.gpu:
        if not gpus:
            looked_for = "; ".join(f"{one.what}: {one.reason}" for one in device.passed_over())
            found = ", ".join(one.name for one in available)
            raise EnvironmentFault(
                f"No GPU can be used. Looked for {looked_for}. Found {found}. Use --cpu to compute on the "
                "processor, or install a GPU's driver; without a GPU the extra `pocl` "
                "(in smesher's folder: pip install '.[pocl]') brings an OpenCL device on the CPU."
            )
        chosen += [one for one in gpus if one not in chosen]
    if arguments.cpu:
        chosen += [one for one in available if one.backend == "cpu" and one not in chosen]
    return chosen or gpus or [one for one in available if one.backend == "cpu"]


def thread_count(arguments: argparse.Namespace) -> int:
    """CPU threads to use. Raises UsageError for 0, and for more than any machine like this can mean."""
    if arguments.threads == 0:
        raise UsageError("--threads is 0, expected at least 1.")
    return limited_threads(arguments.threads)


def compile_kernels(output: Output) -> None:
    """Makes sure that the label kernels are compiled; the first time ever this takes some seconds."""
    from kernels.labels import cpu

    if not cpu.is_compiled():
        with output.busy("compiling the label kernels for this processor (once, about 15 seconds) …"):
            cpu.compile_kernels()


def label32(commitment: bytes, index: int, scrypt_n: int) -> bytes:
    """One full label in plain integers (see `kernels.labels.scalar`)."""
    from kernels.labels import scalar as scrypt_scalar

    return scrypt_scalar.label32(commitment, index, scrypt_n)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the options say about how devices are used."""

    share: float = 1.0
    """Of the time that a device works."""
    gpu_memory: int | None = None
    """Bytes."""
    check_one_in: int = CHECK_ONE_IN


def engine_options(arguments: argparse.Namespace, share: float = 1.0) -> EngineOptions:
    """The options --gpu-memory and --check of a command."""
    return EngineOptions(share, arguments.gpu_memory, arguments.check)


def open_engines(
    devices: Sequence[Device], scrypt_n: int, threads: int, output: Output, options: EngineOptions
) -> list[Engine]:
    """Engines of all the devices that can be opened; says why others are passed over, and where memory is short.

    Raises the `KernelError` of the last one when none can be opened.
    """
    from kernels.devices import types as device
    from kernels.errors import KernelError
    from kernels.labels import cpu

    opened: list[Engine] = []
    for place, one in enumerate(devices):
        try:
            if one.backend == "cpu":
                own = cpu.engines(one, scrypt_n, threads)
                if len(own) < threads or own[0].plan.runs < cpu.RUNS:
                    output.note(
                        f"Memory is short: {len(own)} of {threads} threads are used, each with {own[0].granularity} "
                        "labels in flight."
                    )
                opened.extend(own)
                continue
            with output.busy(f"opening {one.name} …"):
                found = device.engines(one, scrypt_n, threads, options.gpu_memory, note=output.note)
        except KernelError as error:
            if not opened and place == len(devices) - 1:
                raise
            output.note(f"{one.name} is passed over: {error}")
            continue
        if options.share < 1:
            # one that rests after its launch is enough: a second one would use the time of the rest
            kept = found[:1]
            for surplus in found[1:]:
                if surplus is not kept[0]:
                    surplus.close()
            found = kept
        opened.extend(found)
    return opened


def sample_for(devices: Sequence[Device], scrypt_n: int, check_one_in: int) -> Sample | None:
    """How labels of GPUs are checked on the CPU; None when there is no GPU among the devices."""
    from kernels.devices import spot_check as sample
    from kernels.labels import cpu

    if all(one.backend == "cpu" for one in devices):
        return None
    reference = cpu.LabelEngine(cpu.devices()[0], scrypt_n)
    return sample.Sample(lambda key, indices: reference.labels32([key], indices), check_one_in)


@contextmanager
def open_pool(
    devices: Sequence[Device],
    scrypt_n: int,
    threads: int,
    output: Output,
    share: float = 1.0,
    options: EngineOptions | None = None,
) -> Iterator[Pool]:
    """A pool over the devices that can be opened (see `open_engines`); `share` is that of `options` where given."""
    from kernels.devices import pool

    chosen = options or EngineOptions(share)
    engines = open_engines(devices, scrypt_n, threads, output, chosen)
    opened = pool.Pool(
        engines,
        share=chosen.share,
        check=lambda key, index: label32(key, index, scrypt_n),
        sample=sample_for([engine.device for engine in engines], scrypt_n, chosen.check_one_in),
    )
    try:
        yield opened
    finally:
        opened.close()


def _titles(pool: Pool) -> list[str]:
    """A name for each device of a pool; cards of the same name are told apart."""
    devices = [report.device for report in pool.reports]
    names = [one.name for one in devices]
    return [
        one.name if names.count(one.name) == 1 else f"{one.name} ({one.pci or one.id or one.handle})" for one in devices
    ]


class DeviceRates:
    """Labels a second of every device of a pool from now on, in the time that the job's own progress counts."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._before = [report.labels for report in pool.reports]

    def over(self, worked_s: float) -> dict[str, float]:
        """By device; worked_s: time since this object was made, pauses left out."""
        reports = self._pool.reports
        done = [report.labels - before for report, before in zip(reports, self._before)]
        return {title: labels / max(worked_s, 1e-9) for title, labels in zip(_titles(self._pool), done)}


class DeviceStates:
    """What there is to say of a pool's devices beside their rates: temperature, errors, given up."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._heat: dict[str, float | None] = {}
        self._asked_at = float("-inf")

    def now(self) -> dict[str, dict[str, object]]:
        """Facts by device; nothing for one that works and has no sensor."""
        from kernels.gpu import sensors

        titles = _titles(self._pool)
        if time.monotonic() - self._asked_at >= SENSOR_SECONDS:
            self._asked_at = time.monotonic()
            for title, report in zip(titles, self._pool.reports):
                self._heat[title] = sensors.read(report.device.pci).temperature_c
        states: dict[str, dict[str, object]] = {}
        for title, report in zip(titles, self._pool.reports):
            facts: dict[str, object] = {
                "temperature_c": self._heat.get(title),
                "errors": len(report.errors) or None,
                "engines_retired": report.retired or None,
            }
            known = {name: fact for name, fact in facts.items() if fact is not None}
            if known:
                states[title] = known
        return states


def existing_directory(path: Path) -> Path:
    """The path, if it is a directory. Raises UsageError otherwise."""
    if not path.exists():
        raise UsageError(f"{path} does not exist; expected a data directory.")
    if not path.is_dir():
        raise UsageError(f"{path} is not a directory; expected a data directory.")
    return path


def nearest(word: str, known: Sequence[str]) -> str:
    """ " Did you mean …?" or nothing."""
    near = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {near[0]}?" if near else ""


def params_of(arguments: argparse.Namespace) -> PostParams:
    """The network's parameters with the options that override them; without both: mainnet.

    With --labels-per-unit or --scrypt-n but no --network it is a network of its own: any number of units.
    """
    from dataclasses import replace

    base = network(arguments.network or "mainnet")
    if arguments.network is None and (arguments.labels_per_unit is not None or arguments.scrypt_n is not None):
        base = replace(base, min_num_units=1, max_num_units=UNITS_WITHOUT_LIMIT)
    return overridden(base, arguments)


def overridden(base: PostParams, arguments: argparse.Namespace, least: Mapping[str, int] = NOTHING) -> PostParams:
    """Parameters with those that a command's options give instead.

    least: by name, the smallest number that makes sense. Raises UsageError below it.
    """
    from dataclasses import replace

    given: dict[str, Any] = {}
    for name in ("k1", "k2", "scrypt_n", "labels_per_unit", "min_num_units", "max_num_units"):
        value = getattr(arguments, name, None)
        if value is None:
            continue
        if value < least.get(name, 0):
            raise UsageError(f"--{name.replace('_', '-')} is {value}, expected at least {least[name]}.")
        given[name] = value
    return replace(base, **given)
