"""What the commands on PoST data share: options, parsing of their values, devices and pools."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.params.post import NETWORKS, PostParams, network
from prover.errors import EnvironmentFault, UsageError

from .output import Output

if TYPE_CHECKING:
    from kernels.device import Device
    from kernels.pool import Pool

UNITS_WITHOUT_LIMIT = 2**32 - 1


def hex_bytes(text: str, option: str, size: int = 32) -> bytes:
    """`size` bytes from hex digits. Raises UsageError that names the option."""
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        raise UsageError(f"{option} is {text!r}, expected {2 * size} hex digits.") from None
    if len(value) != size or len(digits) != 2 * size:
        raise UsageError(f"{option} has {len(digits)} hex digits, expected {2 * size} ({size} bytes).")
    return value


def whole_number(text: str) -> int:
    """argparse type: a whole number of 0 or more, decimal."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 20:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number")
    return int(text)


def signed_number(text: str) -> int:
    """argparse type: a whole number, perhaps negative (refused later, with its meaning)."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    return sign * whole_number(digits)


def percent(text: str) -> float:
    """argparse type: a share in percent."""
    try:
        value = float(text.rstrip("%"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number of percent") from None
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"found {text}, expected 0 to 100 percent")
    return value


def add_scrypt_arguments(parser: argparse.ArgumentParser) -> None:
    """--network or --scrypt-n, for commands that recompute labels of existing data."""
    group = parser.add_argument_group("scrypt N (default: as recorded, else found from stored labels)")
    group.add_argument("--network", metavar="NAME", help=f"one of {', '.join(NETWORKS)}: use its scrypt N")
    group.add_argument("--scrypt-n", type=whole_number, metavar="N", help="a power of two from 2")


def asked_scrypt_n(arguments: argparse.Namespace) -> int | None:
    """The scrypt N that --network or --scrypt-n ask for; None when neither is given."""
    from protocol.post import check_scrypt_n

    if arguments.scrypt_n is not None:
        return check_scrypt_n(arguments.scrypt_n)
    return network(arguments.network).scrypt_n if arguments.network is not None else None


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """--cpu, --gpu, --provider, --threads."""
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
    group.add_argument("--threads", type=whole_number, metavar="T", help="CPU threads (default: all processors)")


def chosen_devices(arguments: argparse.Namespace) -> list[Device]:
    """The devices that the options name. Raises SelectionError, or EnvironmentFault when no GPU is there."""
    from kernels import device

    available = device.devices()
    chosen = device.select(available, arguments.provider) if arguments.provider else []
    gpus = [one for one in available if one.device_class == "GPU"]
    if arguments.gpu:
        if not gpus:
            looked_for = "; ".join(f"{one.what}: {one.reason}" for one in device.passed_over())
            found = ", ".join(one.name for one in available)
            raise EnvironmentFault(
                f"No GPU can be used. Looked for {looked_for}. Found {found}. Use --cpu to compute on the "
                "processor, or install a GPU's driver; without a GPU the extra `pocl` "
                "(pip install 'smesher[pocl]') brings an OpenCL device on the CPU."
            )
        chosen += [one for one in gpus if one not in chosen]
    if arguments.cpu:
        chosen += [one for one in available if one.device_class == "CPU" and one not in chosen]
    return chosen or gpus or available


def thread_count(arguments: argparse.Namespace) -> int:
    """CPU threads to use. Raises UsageError for 0."""
    from kernels.cpu import usable_cores

    if arguments.threads == 0:
        raise UsageError("--threads is 0, expected at least 1.")
    return int(arguments.threads or usable_cores())


def compile_kernels(output: Output) -> None:
    """Makes sure that the label kernels are compiled; the first time ever this takes some seconds."""
    from kernels import cpu

    if not cpu.is_compiled():
        with output.busy("compiling the label kernels for this processor (once, about 15 seconds) …"):
            cpu.compile_kernels()


def label32(commitment: bytes, index: int, scrypt_n: int) -> bytes:
    """One full label in plain integers (see `kernels.scrypt_scalar`)."""
    from kernels import scrypt_scalar

    return scrypt_scalar.label32(commitment, index, scrypt_n)


@contextmanager
def open_pool(
    devices: Sequence[Device], scrypt_n: int, threads: int, output: Output, share: float = 1.0
) -> Iterator[Pool]:
    """A pool over the devices; says so when memory allows fewer threads or labels in flight than asked."""
    from kernels import cpu, pool

    engines = [engine for one in devices for engine in cpu.engines(one, scrypt_n, threads)]
    if len(engines) < threads or engines[0].plan.runs < cpu.RUNS:
        output.note(
            f"Memory is short: {len(engines)} of {threads} threads are used, each with {engines[0].granularity} "
            "labels in flight."
        )
    opened = pool.Pool(engines, share=share, check=lambda key, index: label32(key, index, scrypt_n))
    try:
        yield opened
    finally:
        opened.close()


def device_rates(pool: Pool, seconds: float) -> dict[str, float]:
    """Labels a second of every device of a pool since `seconds` ago."""
    return {report.device.name: report.labels / max(seconds, 1e-9) for report in pool.reports}


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

    def given(name: str, default: int) -> int:
        value = getattr(arguments, name)
        return default if value is None else int(value)

    return replace(
        base,
        labels_per_unit=given("labels_per_unit", base.labels_per_unit),
        scrypt_n=given("scrypt_n", base.scrypt_n),
        min_num_units=given("min_num_units", base.min_num_units),
        max_num_units=given("max_num_units", base.max_num_units),
    )
