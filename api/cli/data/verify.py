"""`smesher verify`: recomputes a sample of the labels on disk and names each wrong one."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from api.cli import common
from api.cli.data import dataset
from api.cli.data.dataset import DataSet
from api.cli.output import Output
from api.edge.signals import stop_on_signal
from kernels.devices.types import Stopped
from protocol.post.rules import LABEL_SIZE
from prover.errors import EnvironmentFault, Interrupted
from prover.post import check as pos
from prover.post.check import Findings
from prover.post.layout import file_name

if TYPE_CHECKING:
    from kernels.devices.gather import Gather
    from kernels.devices.types import Device
    from kernels.labels.cpu import LabelEngine

CONFIRMED = 4096
"""Labels that a GPU found wrong and that are recomputed on the CPU; of more, so many at random."""

SHOWN = 20
"""Bad labels listed on the screen; all of them are in the findings file and in the JSON events."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("data_dir", type=Path, metavar="D", help="the data directory")
    parser.add_argument(
        "--fraction", type=common.percent, default=0.2, metavar="PERCENT", help="share of labels (default 0.2)"
    )
    parser.add_argument("--from-file", type=common.signed_number, metavar="I", help="first file (default 0)")
    parser.add_argument("--to-file", type=common.signed_number, metavar="J", help="last file, included")
    parser.add_argument("--seed", type=common.whole_number, metavar="S", help="repeat the sample of an earlier run")
    common.add_scrypt_arguments(parser)
    common.add_device_arguments(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: nothing wrong; 1: wrong labels, or files missing or short."""
    data = dataset.open_data(arguments.data_dir)
    files = data.layout.files(arguments.from_file, arguments.to_file)
    findings = pos.sizes(data.storage, data.layout, files)
    seed = pos.seeds(arguments.seed)
    total = sum(pos.sample_size(data.layout.file_labels(number), arguments.fraction) for number in files)
    work = pos.planned(data.layout, data.storage, files, arguments.fraction, seed)
    began = time.monotonic()
    scrypt_n = recompute(data, work, total, arguments, findings, output, "verifying")
    seconds = time.monotonic() - began
    if not findings.good:
        _keep(data, findings, output)
    elif len(files) == data.layout.num_files and arguments.fraction == 100:
        _forget(data)
    report(data, findings, output)
    output.event(
        "done",
        labels=findings.checked,
        seconds=round(seconds, 6),
        labels_per_second=round(findings.checked / seconds, 3) if seconds else 0.0,
        nonce=data.metadata.nonce,
        nonce_value=data.metadata.nonce_value.hex() if data.metadata.nonce_value else None,
        valid=findings.good,
        bad_labels=len(findings.labels),
        bad_files=len(findings.short),
        files=len(files),
        seed=seed,
        scrypt_n=scrypt_n,
    )
    if findings.good:
        output.say(
            f"[bold green]ok[/]  {findings.checked:,} labels in {len(files)} files are right (seed {seed}, "
            f"{seconds:,.1f} s)"
        )
        return 0
    output.say(
        f"[bold red]damaged[/]  {len(findings.labels):,} of {findings.checked:,} labels looked at are wrong, "
        f"{len(findings.short)} files are missing or short (seed {seed})"
    )
    if findings.labels:
        output.say(f"next: smesher repair {data.storage.path}   (for all labels of it first: --fraction 100)")
    if findings.short:
        output.say("next: run smesher init with the parameters of the directory to fill what is missing")
    return 1


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
    devices = common.chosen_devices(arguments)
    asked = common.asked_scrypt_n(arguments)
    common.compile_kernels(output)
    if not any(size >= 16 for size in data.storage.data_files().values()):
        return asked or (data.record.scrypt_n if data.record else 0)  # nothing to recompute, so N plays no part
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
) -> LabelEngine | Gather:
    """One engine for all the devices."""
    from kernels.devices import gather
    from kernels.labels import cpu

    threads = common.thread_count(arguments)
    if all(one.backend == "cpu" for one in devices):
        return cpu.LabelEngine(devices[0], scrypt_n, threads)
    options = common.engine_options(arguments)
    engines = common.open_engines(devices, scrypt_n, threads, output, options)
    sample = common.sample_for([one.device for one in engines], scrypt_n, options.check_one_in)
    return gather.Gather(engines, sample, output.note)


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
        output.say(f"         and {len(findings.labels) - SHOWN:,} more, see {pos.FINDINGS_NAME}")
    for bad in findings.short:
        output.event("bad_file", file=file_name(bad.file), bytes=bad.size, expected=bad.expected)
        output.say(f"[red]file[/]     {file_name(bad.file)} {bad.reason}")
    for bad in findings.long:
        output.note(f"{file_name(bad.file)} {bad.reason}: the surplus is not looked at")


def _keep(data: DataSet, findings: Findings, output: Output) -> None:
    try:
        data.storage.replace(pos.FINDINGS_NAME, pos.encode(findings).encode())
    except EnvironmentFault as error:
        output.note(f"The findings could not be kept beside the data: {error}")


def _forget(data: DataSet) -> None:
    """Everything was looked at and is right: findings of an earlier run are void."""
    if data.storage.read_small(pos.FINDINGS_NAME) is not None:
        try:
            data.storage.remove(pos.FINDINGS_NAME)
        except EnvironmentFault:
            pass  # a directory that cannot be written keeps its old findings; a repair finds nothing to do
