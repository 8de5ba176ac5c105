"""The small complete data set of the tests of `verify`, `repair` and `nonce`, and what these say of it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support import cli
from tests.support.cli import Job, Result, smesher

JOB = Job(units=5, labels_per_unit=100, max_file_size=2048)  # files of 128 labels, the last of 116
FILES = 4
FINDINGS = "smesher-findings.json"


def verify(directory: Path, *more: object) -> Result:
    """`verify --json`."""
    return smesher("verify", directory, "--json", *more)


def bad_labels(result: Result) -> list[tuple[str, int]]:
    """File and byte offset of each bad label that a command named."""
    return [(event["file"], event["offset"]) for event in result.named("bad_label")]


def findings_of(directory: Path) -> list[tuple[str, int]]:
    """File and byte offset of each bad label in the findings beside the data."""
    document = json.loads((directory / FINDINGS).read_text())
    return [(bad["File"], bad["Offset"]) for bad in document["BadLabels"]]


def nonce_of(directory: Path) -> int | None:
    return cli.metadata_of(directory).nonce
