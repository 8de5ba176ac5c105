"""What the commands on proofs share: parameters of the network, RandomX memory, reading and writing proofs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kernels import randomx
from kernels.errors import KernelError
from protocol.params.post import NETWORKS, PostParams, network
from protocol.post_proof import RANDOMX_KEY
from prover.errors import EnvironmentFault, UsageError

from . import common
from .output import Output


def add_parameter_arguments(parser: argparse.ArgumentParser, *, labels: bool) -> None:
    """--network or single parameters of it; `labels`: also those that the data's metadata cannot tell."""
    group = parser.add_argument_group("network (default: mainnet; single parameters override it)")
    group.add_argument("--network", metavar="NAME", help=", ".join(NETWORKS))
    group.add_argument("--k1", type=common.whole_number, metavar="K", help="expected good labels for each nonce")
    group.add_argument("--k2", type=common.whole_number, metavar="K", help="labels in a proof")
    group.add_argument("--pow-difficulty", metavar="HEX", help="k2pow threshold for one unit, 32 bytes")
    group.add_argument("--scrypt-n", type=common.whole_number, metavar="N", help="a power of two from 2")
    if labels:
        group.add_argument("--labels-per-unit", type=common.whole_number, metavar="L")
        group.add_argument("--min-num-units", type=common.whole_number, metavar="U")
        group.add_argument("--max-num-units", type=common.whole_number, metavar="U")


def parameters(arguments: argparse.Namespace) -> PostParams:
    """The network's parameters with the options that override them."""
    from dataclasses import replace

    base = network(arguments.network or "mainnet")

    def given(name: str) -> int:
        value = getattr(arguments, name, None)
        return int(getattr(base, name) if value is None else value)

    difficulty = arguments.pow_difficulty
    return replace(
        base,
        k1=given("k1"),
        k2=given("k2"),
        scrypt_n=given("scrypt_n"),
        labels_per_unit=given("labels_per_unit"),
        min_num_units=given("min_num_units"),
        max_num_units=given("max_num_units"),
        pow_difficulty=base.pow_difficulty if difficulty is None else common.hex_bytes(difficulty, "--pow-difficulty"),
    )


def add_randomx_argument(parser: argparse.ArgumentParser, default: str) -> None:
    """--randomx-mode."""
    parser.add_argument(
        "--randomx-mode",
        choices=("fast", "light"),
        metavar="MODE",
        help=f"fast: 2,080 MiB, about ten times quicker; light: 256 MiB (default {default})",
    )


def open_randomx(mode: str | None, default: str, threads: int, output: Output) -> randomx.Memory:
    """RandomX memory under the network's key; light with a note when `fast` was not asked for and does not fit.

    Raises EnvironmentFault when `fast` was asked for and memory is short; RandomXUnavailable without a library.
    """
    from kernels.memory import available_memory

    randomx.library()
    wanted = mode or default
    needed = randomx.DATASET_BYTES + randomx.CACHE_BYTES
    if wanted == "fast" and available_memory() < needed:
        message = f"RandomX in fast mode needs {needed >> 20} MiB, {available_memory() >> 20} MiB are available"
        if mode == "fast":
            raise EnvironmentFault(f"{message}. Stop other programs or use --randomx-mode light.")
        output.note(f"{message}; using light mode, which is about ten times slower.")
        wanted = "light"
    full = wanted == "fast"
    with output.busy(f"preparing RandomX ({wanted} mode) …"):
        try:
            return randomx.Memory(RANDOMX_KEY, full=full, threads=threads)
        except KernelError as error:
            if mode == "fast" or not full:
                raise EnvironmentFault(str(error)) from None
            output.note(f"{error}; using light mode.")
            return randomx.Memory(RANDOMX_KEY)


def read_json(path: Path, option: str) -> object:
    """A JSON document. Raises UsageError that names the option and the file."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option} {path} is not JSON: {error}.") from None
