"""The data set that the tests of `smesher init` make, and what it has to be in the end."""

from __future__ import annotations

from pathlib import Path

from prover.post.metadata import encode
from tests.support import cli
from tests.support.cli import Job

JOB = Job()
OTHER = "33" * 32


def is_complete(directory: Path, job: Job = JOB) -> None:
    """The directory holds what an uninterrupted run makes."""
    assert cli.data_files(directory) == job.files()
    assert cli.metadata_text(directory) == encode(job.metadata())
