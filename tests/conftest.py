"""What all tests share: the folder of vectors (--vectors, else VECTORS, else the default of the runner)."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from kernels.devices.types import Device
from tests.support import pocl
from tests.vector_cases.runner import default_root

# how long one example takes says more about what else the machine does than about us
settings.register_profile("smesher", settings.default, deadline=None)
settings.load_profile("smesher")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--vectors",
        metavar="DIR",
        default=os.environ.get("VECTORS") or str(default_root()),
        help="folder of vectors (environment: VECTORS; default: ../shared/vectors, else tests/vectors)",
    )


@pytest.fixture(scope="session")
def vectors_root(request: pytest.FixtureRequest) -> Path:
    """The folder of vectors. A wrong one is an error, not a reason to skip."""
    root = Path(request.config.getoption("--vectors")).resolve()
    if not root.is_dir():
        raise pytest.UsageError(f"--vectors/VECTORS: {root} is not a folder")
    return root


@pytest.fixture(scope="session")
def pocl_device() -> Device:
    """PoCL's device; where there is none that works, the tests that ask for it are skipped."""
    return pocl.device()


NOT_TESTED = "NOT TESTED:"
"""How a reason begins for which many tests are skipped: something of the machine is missing that all of them need."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Gives all tests that were skipped for one such reason the same place, so that the summary says it once."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and NOT_TESTED in report.longrepr[2]:
        report.longrepr = ("tests", None, report.longrepr[2])
    return report
