"""What the commands on PoST data share: options, parsing of their values, devices and pools."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from api.edge.errors import UsageError
from api.edge.text import from_hex, is_whole, shown
from api.edge.threads import limited_threads
from protocol.params.post import NETWORKS, PostParams, network

from .output import Output

if TYPE_CHECKING:
    from kernels.devices.pool import Pool
    from kernels.devices.rig import Use
    from kernels.devices.types import Device

UNITS_WITHOUT_LIMIT = 2**32 - 1
NOTHING: Mapping[str, int] = MappingProxyType({})


def hex_bytes(text: str, option: str, size: int = 32) -> bytes:
    """`size` bytes from hex digits. Raises UsageError that names the option."""
    try:
        return from_hex(text, size)
    except ValueError as error:
        hint = f" ({error})" if str(error) else ""
        raise UsageError(f"{option} is {shown(text, 100)}, expected {2 * size} hex digits{hint}.") from None


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
        raise argparse.ArgumentTypeError(f"found {shown(text)}, expected 0 to 100 percent")
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
        metavar="N",
        help="recompute one in N labels of a GPU on the CPU, and the last of each batch (default 65536; 0: only that)",
    )


def chosen_devices(arguments: argparse.Namespace) -> list[Device]:
    """The devices that the options name. Raises `SelectionError`, or `NoGpu` when no GPU is there."""
    from kernels.devices import find

    return find.chosen(arguments.provider, gpus=arguments.gpu, cpus=arguments.cpu)


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
    """One full label in plain integers (see `kernels.labels.scalar`), which is loaded when the first one is made."""
    from kernels.devices import rig

    return rig.label32(commitment, index, scrypt_n)


def engine_options(arguments: argparse.Namespace, share: float = 1.0) -> Use:
    """How devices are used, by the options --gpu-memory and --check of a command."""
    from kernels.devices.rig import Use

    return Use(share, arguments.gpu_memory, arguments.check)


def open_pool(
    devices: Sequence[Device], scrypt_n: int, threads: int, output: Output, *, options: Use | None = None
) -> AbstractContextManager[Pool]:
    """A pool over the devices that can be opened; says why others are passed over, and where memory is short."""
    from kernels.devices import rig

    return rig.open_pool(devices, scrypt_n, threads, options or rig.Use(), output.note, output.busy)


class DeviceRates:
    """Labels a second of every device of a pool from now on, in the time that the job's own progress counts."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._before = [report.labels for report in pool.reports]

    def over(self, worked_s: float) -> dict[str, float]:
        """By device; worked_s: time since this object was made, pauses left out."""
        from kernels.devices import rig

        done = [report.labels - before for report, before in zip(self._pool.reports, self._before)]
        return {title: labels / max(worked_s, 1e-9) for title, labels in zip(rig.titles(self._pool), done)}


def existing_directory(path: Path) -> Path:
    """The path, if it is a directory. Raises UsageError otherwise."""
    if not path.exists():
        raise UsageError(f"{path} does not exist; expected a data directory.")
    if not path.is_dir():
        raise UsageError(f"{path} is not a directory; expected a data directory.")
    return path


def params_of(arguments: argparse.Namespace) -> PostParams:
    """The network's parameters with the options that override them; without both: mainnet.

    With --labels-per-unit or --scrypt-n but no --network it is a network of its own: any number of units.
    """
    base = network(arguments.network or "mainnet")
    if arguments.network is None and (arguments.labels_per_unit is not None or arguments.scrypt_n is not None):
        base = replace(base, min_num_units=1, max_num_units=UNITS_WITHOUT_LIMIT)
    return overridden(base, arguments)


def overridden(base: PostParams, arguments: argparse.Namespace, least: Mapping[str, int] = NOTHING) -> PostParams:
    """Parameters with those that a command's options give instead.

    least: by name, the smallest number that makes sense. Raises UsageError below it.
    """
    given: dict[str, Any] = {}
    for name in ("k1", "k2", "scrypt_n", "labels_per_unit", "min_num_units", "max_num_units"):
        value = getattr(arguments, name, None)
        if value is None:
            continue
        if value < least.get(name, 0):
            raise UsageError(f"--{name.replace('_', '-')} is {value}, expected at least {least[name]}.")
        given[name] = value
    return replace(base, **given)
