"""`smesher repair`: rewrites the labels that `smesher verify` found wrong, or looks at all of them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from api.cli import common
from api.cli.data import dataset, verify
from api.cli.data.dataset import DataSet
from api.cli.output import Output
from protocol.post.rules import LABEL_SIZE
from prover.errors import UsageError
from prover.post import check as pos
from prover.post.check import Findings
from prover.post.layout import Layout, file_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Rewrite the labels that verify found wrong. Without findings, or with a range, every label of the range "
        "is recomputed. Missing or short files are filled by `smesher init`."
    )
    parser.add_argument("data_dir", type=Path, metavar="D", help="the data directory")
    parser.add_argument("--from-file", type=common.signed_number, metavar="I", help="first file (default 0)")
    parser.add_argument("--to-file", type=common.signed_number, metavar="J", help="last file, included")
    parser.add_argument("--labels", metavar="A:B", help="labels A up to, not including, B")
    common.add_scrypt_arguments(parser)
    common.add_device_arguments(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0 when all that was to be repaired is right afterwards, 1 when files are missing or short."""
    data = dataset.open_data(arguments.data_dir)
    with data.storage.lock():
        files = data.layout.files(arguments.from_file, arguments.to_file)
        work, total = _work(data, arguments, files)
        if arguments.labels is not None:
            first, end = _label_range(arguments.labels, data.layout)
            files = range(data.layout.locate(first)[0], data.layout.locate(end - 1)[0] + 1)
        findings = pos.sizes(data.storage, data.layout, files)
        data.storage.check_writable([file_name(number) for number in files])
        began = time.monotonic()
        verify.recompute(data, work, total, arguments, findings, output, "recomputing")
        pos.repair(data.storage, findings.labels)
        verify.report(data, findings, output)
        again = Findings(short=findings.short, long=findings.long)
        if findings.labels:
            rewritten = pos.by_file(data.layout, [bad.index for bad in findings.labels])
            verify.recompute(data, rewritten, len(findings.labels), arguments, again, output, "checking")
        seconds = time.monotonic() - began
        _update_findings(data, work, again)
    output.event(
        "done",
        labels=len(findings.labels) - len(again.labels),
        checked=findings.checked,
        seconds=round(seconds, 6),
        labels_per_second=round(findings.checked / seconds, 3) if seconds else 0.0,
        nonce=data.metadata.nonce,
        nonce_value=data.metadata.nonce_value.hex() if data.metadata.nonce_value else None,
        still_wrong=len(again.labels),
        bad_files=len(again.short),
    )
    output.say(
        f"{'[bold green]done[/]' if again.good else '[bold red]not all right[/]'}  {findings.checked:,} labels "
        f"recomputed, {len(findings.labels):,} rewritten, {len(again.labels):,} still wrong"
    )
    if again.short:
        output.say("next: run smesher init with the parameters of the directory to fill what is missing")
    return 0 if again.good else 1


def _work(data: DataSet, arguments: argparse.Namespace, files: range) -> tuple[list[tuple[int, Sequence[int]]], int]:
    """What to recompute: the range that was asked for, else the findings, else everything."""
    ranged = arguments.from_file is not None or arguments.to_file is not None
    if arguments.labels is not None:
        first, end = _label_range(arguments.labels, data.layout)
    else:
        first, end = 0, data.metadata.num_labels
        stored = data.storage.read_small(pos.FINDINGS_NAME)
        if stored is not None:
            bad = pos.decode(stored, str(data.storage.path / pos.FINDINGS_NAME))
            indices = sorted({label.index for label in bad})
            known = [(number, at) for number, at in pos.by_file(data.layout, indices) if number in files]
            if known or not ranged:
                held = list(_held(data, known))
                return held, sum(len(at) for _, at in held)
    work = list(_held(data, _ranges(data.layout, files, first, end)))
    return work, sum(len(positions) for _, positions in work)


def _ranges(layout: Layout, files: range, first: int, end: int) -> Iterator[tuple[int, Sequence[int]]]:
    for number in files:
        start = layout.first_label(number)
        low, high = max(first, start) - start, min(end - start, layout.file_labels(number))
        if low < high:
            yield number, range(low, high)


def _held(data: DataSet, work: pos.Work) -> Iterator[tuple[int, Sequence[int]]]:
    """Only labels that are on disk: what is missing cannot be rewritten in place."""
    there = data.storage.data_files()
    for number, positions in work:
        held = there.get(number, 0) // LABEL_SIZE
        if isinstance(positions, range):
            kept: Sequence[int] = range(positions.start, min(positions.stop, held))
        else:
            kept = [position for position in positions if position < held]
        if kept:
            yield number, kept


def _label_range(text: str, layout: Layout) -> tuple[int, int]:
    first, colon, end = text.partition(":")
    if not colon or not all((part.isascii() and part.isdecimal()) or part == "" for part in (first, end)):
        raise UsageError(f"--labels is {text!r}, expected A:B, two label indices.")
    low, high = int(first or 0), int(end or layout.num_labels)
    if not 0 <= low < high <= layout.num_labels:
        raise UsageError(f"--labels {text} names no labels, expected 0 <= A < B <= {layout.num_labels}.")
    return low, high


def _update_findings(data: DataSet, looked_at: pos.Work, after: Findings) -> None:
    """The findings keep what is still wrong and what was not looked at; the file goes when nothing is left."""
    stored = data.storage.read_small(pos.FINDINGS_NAME)
    seen = dict(looked_at)
    earlier = [] if stored is None else pos.decode(stored, str(data.storage.path / pos.FINDINGS_NAME))
    kept = [bad for bad in earlier if bad.offset // LABEL_SIZE not in seen.get(bad.file, ())]
    left = Findings(labels=[*kept, *after.labels], short=after.short)
    if not left.good:
        data.storage.replace(pos.FINDINGS_NAME, pos.encode(left).encode())
    elif stored is not None:
        data.storage.remove(pos.FINDINGS_NAME)
