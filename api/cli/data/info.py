"""`smesher info`: what a data directory holds, and what is missing."""

from __future__ import annotations

import argparse

from api.cli import common
from api.cli.data import dataset
from api.cli.output import Output, command
from api.cli.units import byte_size
from protocol.post.rules import LABEL_SIZE
from prover.errors import MetadataError, ProofError
from prover.post import check as pos
from prover.post import findings as found
from prover.post import identity as identity_file
from prover.post import record as record_file
from prover.post import whose
from prover.post.dataset import NO_NONCE, DataSet, nonce_fault
from prover.post.init import scrypt_n
from prover.post.init.plan import strangers
from prover.post.layout import file_name

SHOWN_FILES = 12
"""Files listed one by one on the screen when more are incomplete; JSON always has all of those."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("data_dir", type=common.path, metavar="D", help="the data directory")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0 whenever the directory could be read, complete or not; 1 when its VRF nonce is none."""
    data = dataset.open_data(arguments.data_dir)
    layout = data.layout
    findings = pos.sizes(data.storage, layout, range(layout.num_files))
    there = data.storage.data_files()
    labels = sum(min(size // LABEL_SIZE, layout.file_labels(number)) for number, size in there.items())
    beyond = [number for number in there if number >= layout.num_files]
    doubtful = bool(findings.long)
    complete = labels == layout.num_labels and not doubtful
    wrong_nonce = _nonce_fault(data)
    missing_nonce = NO_NONCE if complete and data.metadata.nonce is None else ""
    problems = [*_problems(data, beyond), *filter(None, (wrong_nonce, missing_nonce))]
    output.event(
        "done",
        data_dir=str(arguments.data_dir),
        node_id=data.metadata.node_id.hex(),
        commitment_atx_id=data.metadata.commitment_atx_id.hex(),
        labels_per_unit=data.metadata.labels_per_unit,
        num_units=data.metadata.num_units,
        max_file_size=data.metadata.max_file_size,
        scrypt_n=data.record.scrypt_n if data.record else None,
        nonce=data.metadata.nonce,
        nonce_value=data.metadata.nonce_value.hex() if data.metadata.nonce_value else None,
        last_position=data.metadata.last_position,
        labels=labels,
        total_labels=layout.num_labels,
        bytes=labels * LABEL_SIZE,
        total_bytes=layout.num_labels * LABEL_SIZE,
        status=_status(labels, layout.num_labels, doubtful),
        complete=complete,
        files=layout.num_files,
        incomplete_files=[
            {"file": file_name(bad.file), "bytes": bad.size or 0, "expected": bad.expected} for bad in findings.short
        ],
        surplus_files=[
            {"file": file_name(bad.file), "bytes": bad.size, "expected": bad.expected} for bad in findings.long
        ]
        + [{"file": file_name(number), "bytes": there[number], "expected": 0} for number in beyond],
        nonce_fault=wrong_nonce or None,
        problems=problems,
    )
    if not output.json:
        _show(data, labels, findings, problems, output)
    return 1 if wrong_nonce else 0


def _status(labels: int, total: int, doubtful: bool) -> str:
    if labels < total:
        return "started" if labels else "not started"
    return "doubtful" if doubtful else "completed"


def _nonce_fault(data: DataSet) -> str:
    """What is wrong with the VRF nonce, as far as scrypt N is known or one of the usual ones."""
    if data.metadata.nonce is None:
        return ""
    known = data.record.scrypt_n if data.record else None
    if known is None:
        stored = scrypt_n.samples(data.storage, data.layout)
        usual = (n for n in whose.USUAL_N if scrypt_n.matches(data.commitment, stored, n, common.label32))
        known = next(usual, None)
    if known is None:
        return ""
    n = known
    return nonce_fault(data.metadata, lambda index: common.label32(data.commitment, index, n))


def _problems(data: DataSet, beyond: list[int]) -> list[str]:
    """Sentences about what someone should look at."""
    problems = [f"{file_name(number)} is beyond the last file that is needed" for number in beyond]
    names = data.storage.names()
    problems += [f"{name} looks like a data file to other programs, but is none" for name in strangers(names)]
    if data.metadata.max_file_size % LABEL_SIZE:
        problems.append(f"MaxFileSize {data.metadata.max_file_size} is no multiple of 16: this data cannot be proved")
    if data.damaged_record:
        problems.append(f"{record_file.FILE_NAME} cannot be read ({data.damaged_record}); it may be deleted")
    try:
        known = found.current(data.storage, data.layout)
        if known:
            problems.append(
                f"{found.FILE_NAME} lists {len(known)} wrong labels that were not repaired yet: run smesher repair"
            )
    except MetadataError as error:
        problems.append(str(error))
    stored = data.storage.read_small(identity_file.FILE_NAME)
    if stored is not None:
        try:
            key = identity_file.decode(stored, identity_file.FILE_NAME)
            if key.node_id != data.metadata.node_id:
                problems.append(f"{identity_file.FILE_NAME} is the key of another node: {key.node_id.hex()}")
        except ProofError as error:
            problems.append(str(error))
    return problems


def _show(data: DataSet, labels: int, findings: pos.Findings, problems: list[str], output: Output) -> None:
    metadata, layout = data.metadata, data.layout
    share = 100 * labels / layout.num_labels
    whole = layout.num_files - len(findings.short) - len(findings.long)
    output.facts(
        [
            ("directory", data.storage.path),
            ("node id", metadata.node_id.hex()),
            ("commitment ATX", metadata.commitment_atx_id.hex()),
            ("units", f"{metadata.num_units} of {metadata.labels_per_unit:,} labels"),
            ("scrypt N", data.record.scrypt_n if data.record else "not recorded (found when it is needed)"),
            ("labels", f"{labels:,} of {layout.num_labels:,} ({share:.2f} %), {byte_size(labels * LABEL_SIZE)}"),
            ("files", f"{whole} of {layout.num_files} complete, at most {byte_size(metadata.max_file_size)} each"),
            ("VRF nonce", "none yet" if metadata.nonce is None else metadata.nonce),
        ]
    )
    complete = labels == layout.num_labels
    if complete and findings.long:
        output.say("[bold yellow]doubtful[/]: files are too long")
    else:
        output.say("[bold green]complete[/]" if complete else "[bold yellow]incomplete[/]")
    for bad in findings.short[:SHOWN_FILES]:
        there = bad.size or 0
        output.say(f"  {file_name(bad.file)}: {there:,} of {bad.expected:,} bytes ({100 * there / bad.expected:.1f} %)")
    if len(findings.short) > SHOWN_FILES:
        output.say(f"  and {len(findings.short) - SHOWN_FILES} more incomplete files")
    for bad in findings.long:
        output.say(
            f"  [yellow]{file_name(bad.file)} {bad.reason}: its labels may be shifted; smesher init --yes "
            "cuts it and makes "
            "all of them again[/]"
        )
    for problem in problems:
        output.say(f"  [yellow]{problem}[/]")
    if labels < layout.num_labels:
        output.say(f"next: {command('init', '--data-dir', data.storage.path)} with the same parameters fills the rest")
