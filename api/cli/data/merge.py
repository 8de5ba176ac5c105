"""`smesher merge`: joins the parts of a split initialisation."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from api.cli import common
from api.cli.output import Output, command
from api.cli.units import byte_size
from api.edge.signals import stop_on_signal
from protocol.post.rules import LABEL_SIZE
from prover.errors import Interrupted
from prover.post.merge.place import Phase
from prover.post.merge.run import Merge, Outcome
from prover.post.merge.types import Mode

EPILOG = """\
Every part was made with the same identity, commitment, units and file size, and --from-file/--to-file of its own.
Without --copy and --move complete files are hard-linked where they are on the destination's disk: both directories
then share them. Links to files on other disks become links to the same files. The rest is copied.
--move renames files on the destination's disk; others are copied, flushed, compared, and removed. A link to a file
outside the sources moves as a link: the file itself stays on its disk. The same command goes on after any interruption.

  smesher merge /mnt/a/post /mnt/b/post --into /mnt/all/post
"""

LISTED = 100_000
"""Numbers of missing files in an event; `missing_count` counts them all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.epilog = EPILOG
    parser.add_argument("sources", nargs="+", type=common.path, metavar="SRC", help="directories with the parts")
    parser.add_argument(
        "--into", required=True, type=common.path, metavar="D", help="the directory that gets all files"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--copy", action="store_true", help="copy every file, so that nothing is shared with the sources")
    how.add_argument("--move", action="store_true", help="empty the sources, file after file, when D has the labels")
    common.add_scrypt_arguments(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0 when D holds what the sources have, even when files are missing in all of them."""
    stopped: list[bool] = []
    mode = Mode.MOVE if arguments.move else Mode.COPY if arguments.copy else Mode.LINK
    merge = Merge(
        arguments.sources,
        arguments.into,
        label32=_compiled_first(output),
        mode=mode,
        asked_scrypt_n=common.asked_scrypt_n(arguments),
        stop=lambda: bool(stopped),
        note=output.note,
        phase=_phase(output),
    )
    began = time.monotonic()
    with stop_on_signal(lambda: stopped.append(True)):
        try:
            outcome = merge.run()
        except Interrupted:
            if mode is Mode.MOVE:
                output.note("What is already in the destination was removed from the sources.")
            raise
    _report(arguments.into, outcome, time.monotonic() - began, output)
    return 0


def _compiled_first(output: Output) -> Callable[[bytes, int, int], bytes]:
    """`common.label32`, which compiles the kernels when it is called for the first time: most merges never do."""

    def label32(commitment: bytes, index: int, scrypt_n: int) -> bytes:
        common.compile_kernels(output)
        return common.label32(commitment, index, scrypt_n)

    return label32


def _phase(output: Output) -> Phase:
    @contextmanager
    def phase(what: str, labels: int) -> Iterator[Callable[[int], None]]:
        with output.progress(what, labels) as bar:
            yield bar.update

    return phase


def _report(into: Path, outcome: Outcome, seconds: float, output: Output) -> None:
    metadata = outcome.metadata
    missing = sum(len(numbers) for numbers in outcome.missing)
    output.event(
        "done",
        files=outcome.files,
        labels=outcome.labels,
        total_labels=metadata.num_labels,
        complete=outcome.labels == metadata.num_labels,
        bytes_copied=outcome.bytes_copied,
        linked=outcome.linked,
        moved=outcome.moved,
        removed=outcome.removed,
        missing=_first_numbers(outcome.missing),
        missing_count=missing,
        incomplete=list(outcome.incomplete),
        nonce=metadata.nonce,
        nonce_value=metadata.nonce_value.hex() if metadata.nonce_value else None,
        scrypt_n=outcome.scrypt_n,
        seconds=round(seconds, 6),
        next=_next(into, outcome),
    )
    if output.json:
        return
    output.say(
        f"[bold green]done[/]  {outcome.files:,} files, {outcome.labels:,} of {metadata.num_labels:,} labels "
        f"({byte_size(outcome.labels * LABEL_SIZE)}); {outcome.linked:,} linked, {outcome.moved:,} renamed, "
        f"{byte_size(outcome.bytes_copied)} copied"
    )
    output.say(f"      VRF nonce {metadata.nonce}" if metadata.nonce is not None else "      no part has a VRF nonce")
    if missing:
        output.say(f"      missing: file {_ranges(outcome.missing)}")
    if outcome.incomplete:
        output.say(f"      incomplete: file {', '.join(map(str, outcome.incomplete[:20]))}")
    output.say(f"      next: {_next(into, outcome)}")


def _next(into: Path, outcome: Outcome) -> str:
    if outcome.missing or outcome.incomplete:
        return f"{command('init', '--data-dir', into)} fills what is missing"
    if outcome.metadata.nonce is None:
        return f"{command('nonce', into)} searches the VRF nonce"
    return command("verify", into)


def _ranges(numbers: Sequence[range]) -> str:
    shown = [str(one[0]) if len(one) == 1 else f"{one[0]}–{one[-1]}" for one in numbers[:20]]
    return ", ".join(shown) + (f" and {len(numbers) - 20} more ranges" if len(numbers) > 20 else "")


def _first_numbers(ranges: Sequence[range]) -> list[int]:
    listed: list[int] = []
    for numbers in ranges:
        listed.extend(numbers[: LISTED - len(listed)])
        if len(listed) >= LISTED:
            break
    return listed
