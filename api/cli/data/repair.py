"""`smesher repair`: rewrites the labels that `smesher verify` found wrong, or looks at all of them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence

from api.cli import common
from api.cli.data import dataset, verify
from api.cli.output import Output, command
from api.edge.text import is_whole, shown
from protocol.post.rules import LABEL_SIZE
from prover.errors import DataError, MetadataError, UsageError
from prover.post import check as pos
from prover.post import findings as found
from prover.post.check import BadLabel, Findings
from prover.post.dataset import DataSet
from prover.post.layout import Layout, file_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Rewrite the labels that verify found wrong. Without findings, or with a range, every label of the range "
        "is recomputed. Missing or short files are filled by `smesher init`."
    )
    parser.add_argument("data_dir", type=common.path, metavar="D", help="the data directory")
    parser.add_argument("--from-file", type=common.signed_number, metavar="I", help="first file (default 0)")
    parser.add_argument("--to-file", type=common.signed_number, metavar="J", help="last file, included")
    parser.add_argument("--labels", metavar="A:B", help="labels A up to, not including, B")
    parser.add_argument("--yes", action="store_true", help="rewrite even where all labels seem to be of other data")
    common.add_scrypt_arguments(parser)
    common.add_device_arguments(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0 when all that was to be repaired is right afterwards, 1 when not, or when it was refused."""
    data = dataset.open_data(arguments.data_dir)
    with data.storage.lock():
        before = _findings(data, arguments)
        files, work = _work(data, arguments, before)
        findings = pos.sizes(data.storage, data.layout, files)
        data.storage.check_writable([file_name(number) for number in files])
        total = sum(len(positions) for _, positions in work)
        if total and not arguments.yes:
            _refuse_other_data(data, arguments, output)
        began = time.monotonic()
        verify.recompute(data, work, total, arguments, findings, output, "recomputing")
        pos.repair(data.storage, findings.labels)
        verify.report(data, findings, output)
        again = Findings(short=findings.short, long=findings.long)
        if findings.labels:
            rewritten = pos.by_file(data.layout, [bad.index for bad in findings.labels])
            verify.recompute(data, rewritten, len(findings.labels), arguments, again, output, "checking")
        seconds = time.monotonic() - began
        looked_at = dict(work)
        found.update(data.storage, before, lambda bad: bad.offset // LABEL_SIZE in looked_at.get(bad.file, ()), again)
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
    of = f"{findings.checked:,} of {data.metadata.num_labels:,} labels recomputed"
    output.say(
        f"{'[bold green]done[/]' if again.good else '[bold red]not all right[/]'}  {of}, {len(findings.labels):,} "
        f"rewritten and read again, {len(again.labels):,} still wrong"
    )
    if findings.checked < data.metadata.num_labels:
        output.say(f"      the other labels were not looked at; next: {command('verify', data.storage.path)}")
    if again.short:
        output.say("next: run smesher init with the parameters of the directory to fill what is missing")
    return 0 if again.good else 1


def _refuse_other_data(data: DataSet, arguments: argparse.Namespace, output: Output) -> None:
    """Raises DataError where all labels differ: then the metadata is wrong, and rewriting would destroy good labels."""
    common.compile_kernels(output)
    scrypt_n = dataset.scrypt_n_of(data, common.asked_scrypt_n(arguments), output)
    other = dataset.not_these_labels(data, scrypt_n, common.thread_count(arguments))
    if other:
        raise DataError(f"{other} Nothing was written. With --yes all labels are rewritten for what the metadata says.")


def _findings(data: DataSet, arguments: argparse.Namespace) -> list[BadLabel]:
    """Earlier findings that still stand. A range needs none, so there a file that cannot be read is in nobody's way."""
    try:
        return found.current(data.storage, data.layout)
    except MetadataError:
        if not _is_ranged(arguments):
            raise
        return []


def _is_ranged(arguments: argparse.Namespace) -> bool:
    return any(value is not None for value in (arguments.from_file, arguments.to_file, arguments.labels))


def _work(
    data: DataSet, arguments: argparse.Namespace, before: Sequence[BadLabel]
) -> tuple[range, list[tuple[int, Sequence[int]]]]:
    """The files in question, and what to recompute: every label of a range, else the findings, else everything."""
    files = data.layout.files(arguments.from_file, arguments.to_file)
    if before and not _is_ranged(arguments):
        known = pos.by_file(data.layout, sorted({bad.index for bad in before}))
        return files, list(_held(data, known))
    first, end = 0, data.metadata.num_labels
    if arguments.labels is not None:
        first, end = _label_range(arguments.labels, data.layout)
        touched = range(data.layout.locate(first)[0], data.layout.locate(end - 1)[0] + 1)
        files = range(max(files.start, touched.start), min(files.stop, touched.stop))
        if not files:
            raise UsageError(f"--labels {arguments.labels} lies outside the files of --from-file and --to-file.")
    return files, list(_held(data, _ranges(data.layout, files, first, end)))


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
    if not colon or not all(is_whole(part) or part == "" for part in (first, end)):
        raise UsageError(f"--labels is {shown(text)}, expected A:B, two label indices.")
    low, high = int(first or 0), int(end or layout.num_labels)
    if not 0 <= low < high <= layout.num_labels:
        raise UsageError(f"--labels {text} names no labels, expected 0 <= A < B <= {layout.num_labels}.")
    return low, high
