"""What the commands on proofs share: parameters of the network, RandomX memory, reading and writing proofs."""

from __future__ import annotations

import argparse
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from api.edge.signals import stop_on_signal
from api.edge.text import read_text, why_no_json
from kernels import randomx
from kernels.errors import MemoryShortage, Stopped
from protocol.params.post import NETWORKS, PostParams, network
from protocol.post.rules import check_scrypt_n
from prover.errors import EnvironmentFault, Interrupted, UsageError
from prover.post.proof.randomx_source import RandomXSource

from . import common
from .output import Output

if TYPE_CHECKING:
    from kernels.labels.cpu import LabelEngine


def add_parameter_arguments(parser: argparse.ArgumentParser, *, labels: bool) -> None:
    """--network or single parameters of it; `labels`: also those that the data's metadata cannot tell."""
    group = parser.add_argument_group("network (default: mainnet; single parameters override it)")
    group.add_argument("--network", metavar="NAME", help=f"one of {', '.join(NETWORKS)}")
    group.add_argument("--k1", type=common.whole_number, metavar="K", help="expected good labels for each nonce")
    group.add_argument("--k2", type=common.whole_number, metavar="K", help="labels in a proof")
    group.add_argument("--pow-difficulty", metavar="HEX", help="k2pow threshold for one unit, 32 bytes")
    group.add_argument("--scrypt-n", type=common.whole_number, metavar="N", help="a power of two from 2")
    if labels:
        group.add_argument("--labels-per-unit", type=common.whole_number, metavar="L", help="labels in a unit")
        group.add_argument("--min-num-units", type=common.whole_number, metavar="U", help="fewest units")
        group.add_argument("--max-num-units", type=common.whole_number, metavar="U", help="most units")


def parameters(arguments: argparse.Namespace) -> PostParams:
    """The network's parameters with the options that override them. Raises UsageError for a 0."""
    least = dict.fromkeys(("k1", "k2", "scrypt_n", "labels_per_unit", "max_num_units"), 1)
    params = common.overridden(network(arguments.network or "mainnet"), arguments, least)
    check_scrypt_n(params.scrypt_n)
    if arguments.pow_difficulty is None:
        return params
    return replace(params, pow_difficulty=common.hex_bytes(arguments.pow_difficulty, "--pow-difficulty"))


def add_randomx_argument(parser: argparse._ActionsContainer, default: str) -> None:
    """--randomx-mode."""
    parser.add_argument(
        "--randomx-mode",
        choices=("fast", "light"),
        metavar="MODE",
        help=f"fast: 2,080 MiB, about ten times quicker; light: 256 MiB (default {default})",
    )


def compile_kernels(output: Output) -> None:
    """Makes sure that the kernels of labels and of the proving pass are compiled."""
    common.compile_kernels(output)
    compile_pass(output)


def compile_pass(output: Output) -> None:
    """Makes sure that the kernel of the proving pass is compiled."""
    from kernels.scan import aes

    if not aes.is_compiled():
        with output.busy("compiling the proving kernel for this processor (once, some seconds) …"):
            aes.compile_kernels()


class RandomX:
    """How a command comes by RandomX's memory: what is asked for is judged at once, made it is when it is needed."""

    def __init__(
        self, mode: str | None, default: str, threads: int, output: Output, *, large_pages: bool | None = None
    ) -> None:
        """`mode` is what --randomx-mode says, None: what `default` says where it fits.

        `large_pages` are used where they are asked for, which is told if there are none, or (None) where there are any.

        Raises EnvironmentFault when `fast` was asked for and memory is short; RandomXUnavailable without a library.
        """
        self._output = output
        self._source = RandomXSource(mode, threads, self._tell, large_pages=large_pages)
        self._source.check()
        self.stop = threading.Event()
        """Set from anywhere, it makes `open` raise Interrupted at once."""
        self.full = (mode or default) == "fast" and self._fits()

    def _tell(self, level: int, text: str) -> None:
        self._output.note(f"{text} …" if level == logging.INFO else f"{text[0].upper()}{text[1:]}.")

    def _fits(self) -> bool:
        shortage = self._source.shortage()
        if shortage:
            self._output.note(f"{shortage}; using light mode, which is about ten times slower.")
        return not shortage

    def open(self, full: bool) -> randomx.Memory:
        """The memory under the network's key; light with a note when `fast` was not asked for and does not fit now.

        Raises EnvironmentFault when memory is short, Interrupted after `stop`.
        """
        try:
            return self._source.open(full, self.stop)
        except Stopped:
            raise Interrupted("Stopped.") from None
        except MemoryShortage as error:
            raise EnvironmentFault(f"{error}.") from None


@contextmanager
def stopped_by_signal(engine: LabelEngine) -> Iterator[None]:
    """Ends the engine's work at a signal, and raises Interrupted: labels of a large N take long."""
    try:
        with stop_on_signal(engine.stop):
            yield
    except Stopped:
        raise Interrupted("Stopped.") from None


def read_json(path: Path, option: str) -> object:
    """A JSON document. Raises UsageError that names the option and the file."""
    text = read_text(path, option)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option} {path} is not JSON: {why_no_json(error)}.") from None
