"""What all tests share: the folder of vectors (--vectors, else VECTORS, else the default of the runner)."""

import os
from pathlib import Path

import pytest

from tests.vector_cases.runner import default_root


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
