"""A complete set of the small job, and kernels that are compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.cli.data.small_set import JOB


@pytest.fixture(scope="module")
def compiled() -> None:
    """Children find the kernels compiled."""
    from kernels.labels import cpu

    cpu.warm_up()


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A complete set of `JOB`."""
    return JOB.make(tmp_path / "post")
