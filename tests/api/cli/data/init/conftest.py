"""A complete and an incomplete set of `JOB`, and kernels that are compiled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.api.cli.data.init.jobs import JOB


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Children find the kernels compiled."""
    from kernels.labels import cpu

    cpu.warm_up()


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A complete set of `JOB`."""
    return JOB.make(tmp_path / "post")


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A set of `JOB` of which file 2 has 10 labels and file 3 none."""
    directory = JOB.make(tmp_path / "post")
    os.truncate(directory / "postdata_2.bin", 160)
    (directory / "postdata_3.bin").unlink()
    return directory
