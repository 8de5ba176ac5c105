"""`smesher verify`: recomputes a sample of the labels on disk and names each wrong one."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from api.cli import common
from api.cli.data import dataset
from api.cli.output import Output
from api.edge.signals import stop_on_signal
from kernels.devices.types import Stopped
from protocol.post.rules import LABEL_SIZE
from prover.errors import EnvironmentFault, Interrupted, MetadataError
from prover.post import check as pos
from prover.post import findings as found
from prover.post.check import BadLabel, Findings
from prover.post.dataset import NO_NONCE, DataSet, nonce_fault
from prover.post.layout import file_name

if TYPE_CHECKING:
    from kernels.devices.pool import Pool
    from kernels.devices.types import Device
    from kernels.labels.cpu import LabelEngine

CONFIRMED = 4096
"""Labels that a GPU found wrong and that are recomputed on the CPU; of more, so many at random."""

SHOWN = 20
"""Bad labels listed on the screen; all of them are in the findings file and in the JSON events."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("data_dir", type=common.path, metavar="D", help="the data directory")
    parser.add_argument(
        "--fraction", type=common.percent, default=0.2, metavar="PERCENT", help="share of labels (default 0.2)"
    )
    parser.add_argument("--from-file", type=common.signed_number, metavar="I", help="first file (default 0)")
    parser.add_argument("--to-file", type=common.signed_number, metavar="J", help="last file, included")
    parser.add_argument("--seed", type=common.whole_number, metavar="S", help="repeat the sample of an earlier run")
    common.add_scrypt_arguments(parser)
    common.add_device_arguments(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: nothing wrong; 1: wrong labels or a wrong nonce, files missing or short, or labels of other data."""
    data = dataset.open_data(arguments.data_dir)
    files = data.layout.files(arguments.from_file, arguments.to_file)
    findings = pos.sizes(data.storage, data.layout, files)
    seed = pos.seeds(arguments.seed)
    before = _known(data, output)
    known = pos.by_file(data.layout, [bad.index for bad in before if bad.file in files])
    total = pos.planned_size(data.layout, data.storage, files, arguments.fraction, seed)
    total += sum(len(positions) for _, positions in known)
    work = chain(pos.planned(data.layout, data.storage, files, arguments.fraction, seed), known)
    began = time.monotonic()
    scrypt_n = recompute(data, work, total, arguments, findings, output, "verifying")
    seconds = time.monotonic() - began
    findings.labels = list({bad.index: bad for bad in findings.labels}.values())
    other = dataset.not_these_labels(data, scrypt_n, common.thread_count(arguments)) if findings.labels else ""
    nonce = _nonce_fault(data, scrypt_n) if findings.checked else ""
    if not other:
        _keep(data, before, files, findings, output)
    report(data, findings, output)
    good = findings.good and not nonce
    output.event(
        "done",
        labels=findings.checked,
        seconds=round(seconds, 6),
        labels_per_second=round(findings.checked / seconds, 3) if seconds else 0.0,
        nonce=data.metadata.nonce,
        nonce_value=data.metadata.nonce_value.hex() if data.metadata.nonce_value else None,
        nonce_fault=nonce or None,
        valid=good,
        bad_labels=len(findings.labels),
        bad_files=len(findings.short),
        damaged=bool(findings.labels) and not other,
        other_data=other or None,
        files=len(files),
        seed=seed,
        scrypt_n=scrypt_n,
    )
    if other:
        output.say(f"[bold red]other data[/]  {other}")
        return 1
    _say(data, findings, f"seed {seed}, {seconds:,.1f} s", len(files), output)
    if nonce:
        output.say(f"[bold red]nonce[/]    {nonce}")
    elif data.metadata.nonce is None and not (findings.short or findings.long):
        output.say(f"[bold yellow]nonce[/]    {NO_NONCE}")
    return 0 if good else 1


def _say(data: DataSet, findings: Findings, how: str, files: int, output: Output) -> None:
    checked = f"{findings.checked:,} labels in {files} files are right ({how})"
    missing = f"{len(findings.short)} files are missing or short"
    if findings.good:
        output.say(f"[bold green]ok[/]  {checked}")
    elif not findings.labels:
        output.say(f"[bold yellow]incomplete[/]  {checked}; {missing}")
    else:
        output.say(
            f"[bold red]damaged[/]  {len(findings.labels):,} of {findings.checked:,} labels looked at are wrong ({how})"
            + (f"; {missing}" if findings.short else "")
        )
        output.next("repair", data.storage.path, then="for all labels of it first: --fraction 100")
    if findings.short:
        output.say("next: run smesher init with the parameters of the directory to fill what is missing")


def _nonce_fault(data: DataSet, scrypt_n: int) -> str:
    return nonce_fault(data.metadata, lambda index: common.label32(data.commitment, index, scrypt_n))


def _known(data: DataSet, output: Output) -> list[BadLabel]:
    """Earlier findings that still stand; what cannot be read is of no use and is written anew."""
    try:
        return found.current(data.storage, data.layout)
    except MetadataError as error:
        output.note(f"{error.file}: {error.reason}; it is written anew.")
        return []


def recompute(
    data: DataSet,
    work: pos.Work,
    total: int,
    arguments: argparse.Namespace,
    findings: Findings,
    output: Output,
    what: str,
) -> int:
    """Checks the labels of `work` on the chosen devices; returns the scrypt N.

    What a GPU finds wrong is recomputed on the CPU. Raises Interrupted when told to stop, EnvironmentFault when a GPU
    is found to compute wrong labels.
    """
    asked = common.asked_scrypt_n(arguments)
    if not total:
        return asked or (data.record.scrypt_n if data.record else 0)  # nothing to recompute, so N plays no part
    devices = common.chosen_devices(arguments)
    common.compile_kernels(output)
    scrypt_n = dataset.scrypt_n_of(data, asked, output)
    found_before = len(findings.labels)
    engine = _engine(devices, scrypt_n, arguments, output)
    try:
        with stop_on_signal(engine.stop), output.progress(what, total) as bar:
            pos.check(data.storage, data.layout, data.commitment, work, engine, findings, bar.update)
    except Stopped:
        raise Interrupted(
            f"Stopped after {findings.checked} of {total} labels; {len(findings.labels)} of them are wrong."
        ) from None
    finally:
        engine.close()
    if any(one.backend != "cpu" for one in devices):
        _confirm(data, findings, found_before, devices, scrypt_n, common.thread_count(arguments))
    return scrypt_n


def _engine(
    devices: Sequence[Device], scrypt_n: int, arguments: argparse.Namespace, output: Output
) -> LabelEngine | Pool:
    """One engine for all the devices."""
    from kernels.devices import pool, rig
    from kernels.labels import cpu

    threads = common.thread_count(arguments)
    if all(one.backend == "cpu" for one in devices):
        return cpu.LabelEngine(devices[0], scrypt_n, threads)
    use = common.engine_options(arguments)
    engines = rig.open_engines(devices, scrypt_n, threads, use, output.note, output.busy)
    sample = rig.sample_for([one.device for one in engines], scrypt_n, use)
    return pool.Pool(engines, sample=sample, note=output.note)


def _confirm(
    data: DataSet, findings: Findings, first: int, devices: Sequence[Device], scrypt_n: int, threads: int
) -> None:
    """What a GPU found wrong has to be wrong on the CPU, too: nothing is reported or repaired on a GPU's word alone."""
    from kernels.labels import cpu

    suspects = findings.labels[first:]
    chosen = suspects if len(suspects) <= CONFIRMED else random.sample(suspects, CONFIRMED)
    if not chosen:
        return
    engine = cpu.LabelEngine(cpu.devices()[0], scrypt_n, threads)
    try:
        right = engine.labels32([data.commitment], [label.index for label in chosen])[:, :LABEL_SIZE]
    finally:
        engine.close()
    wrong = [label for label, bytes_ in zip(chosen, right) if label.expected != bytes_.tobytes()]
    if wrong:
        del findings.labels[first:]
        names = "; ".join(f"{one.name} (driver {one.driver})" for one in devices if one.backend != "cpu")
        raise EnvironmentFault(
            f"A GPU computed a wrong label {wrong[0].index}: {wrong[0].expected.hex()}, and {len(wrong) - 1} others of "
            f"{len(chosen)} that were recomputed on the CPU. Nothing was written. It is one of: {names}. Run the "
            "command again with --cpu."
        )


def report(data: DataSet, findings: Findings, output: Output) -> None:
    """Names every bad label and file."""
    for label in findings.labels:
        output.event(
            "bad_label",
            index=label.index,
            file=file_name(label.file),
            offset=label.offset,
            found=label.found.hex(),
            expected=label.expected.hex(),
        )
    for label in findings.labels[:SHOWN]:
        output.say(
            f"[red]wrong[/]    {file_name(label.file)} byte offset {label.offset} (label {label.index}): "
            f"{label.found.hex()}, expected {label.expected.hex()}"
        )
    if len(findings.labels) > SHOWN:
        output.say(f"         and {len(findings.labels) - SHOWN:,} more, see {found.FILE_NAME}")
    for bad in findings.short:
        output.event("bad_file", file=file_name(bad.file), bytes=bad.size, expected=bad.expected)
        output.say(f"[red]file[/]     {file_name(bad.file)} {bad.reason}")
    for bad in findings.long:
        output.note(
            f"{file_name(bad.file)} {bad.reason}: its labels may be shifted. `smesher init --yes` cuts it "
            "and makes all of "
            "them again."
        )


def _keep(data: DataSet, before: Sequence[BadLabel], files: range, findings: Findings, output: Output) -> None:
    """All that was known of these files was looked at again."""
    try:
        found.update(data.storage, before, lambda bad: bad.file in files, findings)
    except EnvironmentFault as error:
        output.note(f"The findings could not be kept beside the data: {error}")
