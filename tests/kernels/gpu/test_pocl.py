"""What PoCL wants from the system is looked for before it ends the process; what the tests do without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kernels.gpu import opencl_devices, pocl
from tests.support import pocl as pocl_of_tests
from tests.support.opencl_fakes import FakeDevice, FakeDriver, FakePlatform

VERSION = "OpenCL 3.0 PoCL 3.0-rc2  Linux, Release, RELOC, LLVM 14.0.6"
GCC, LIBC = "usr/lib/gcc/x86_64-linux-gnu/12/libgcc.a", "usr/lib/x86_64-linux-gnu/libc.so"
ROOT = Path(__file__).resolve().parents[3]


def system(root: Path, *files: str) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("linker", "files", "named"),
    [
        (True, [GCC, LIBC], None),
        (True, ["usr/lib64/gcc/x86_64-suse-linux/13/libgcc.a", "usr/lib64/libc.so"], None),
        (False, [GCC, LIBC], "has not a linker (ld) ("),
        (True, [LIBC], "has not gcc's library (libgcc) ("),
        (True, [GCC], "has not the C library's development files ("),
        (False, [], "has not a linker (ld), gcc's library (libgcc) and the C library's development files ("),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, linker: bool, files: list[str], named: str | None) -> None:
    reason = pocl.lacks(VERSION, system(tmp_path, *files), lambda name: f"/usr/bin/{name}" if linker else None)
    if named is None:
        assert reason is None
    else:
        assert reason is not None and named in reason and "apt-get install gcc libc6-dev" in reason


def test_a_pocl_of_the_systems_own_is_not_looked_at(tmp_path: Path) -> None:
    assert pocl.lacks("OpenCL 3.0 PoCL 6.0  Linux, Debian", tmp_path, lambda name: None) is None


def test_the_device_is_passed_over_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    platform = FakePlatform("Portable Computing Language", [FakeDevice("pthread")])
    monkeypatch.setattr(opencl_devices.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(opencl_devices, "load", lambda: FakeDriver([platform]))
    monkeypatch.setattr(opencl_devices, "pocl_lacks", lambda version: "PoCL links what it compiles, and …")
    found, (passed,) = opencl_devices.devices()
    assert found == []
    assert (passed.what, passed.reason) == (
        "OpenCL device Portable Computing Language/pthread",
        "PoCL links what it compiles, and …",
    )


# -- the tests' own trial ------------------------------------------------------------------------------------------


def trial(program: str) -> Any:
    return pocl_of_tests.outcome([sys.executable, "-c", program])


def test_a_driver_that_ends_its_process_is_a_reason() -> None:
    assert trial("import os, sys; print('linking failed', file=sys.stderr, flush=True); os.abort()") == (
        "the driver crashed (SIGABRT); its last words: linking failed"
    )
    assert trial("raise SystemExit('no platform')") == "no platform"


CRASHING = """
import os
import pytest
from tests.support import pocl

def test_before(): pass

@pytest.mark.parametrize("number", range(12))
def test_of_the_driver(number): os.abort()

@pytest.mark.parametrize("number", range(20))
def test_of_something_else(number): pass
"""


def test_a_driver_that_crashes_costs_its_own_tests_only(tmp_path: Path) -> None:
    """With the options of `make test`: each crash is one failed test, and every other test is run."""
    makefile = (ROOT / "Makefile").read_text()
    (line,) = [line for line in makefile.splitlines() if line.startswith("\t$(RUN) -m pytest -n")]
    options = line.split("pytest ", 1)[1].split()
    (tmp_path / "test_crashing.py").write_text(CRASHING)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert "12 failed, 21 passed" in done.stdout, done.stdout[-2000:]


SKIPPING = """
import pytest
from tests.support import pocl

pocl.tried = lambda: "the driver crashed"

@pocl.needed
@pytest.mark.parametrize("number", range(3))
def test_one(number): pass

@pytest.fixture(scope="module")
def engine(): return pocl.device()

def test_two(engine): pass
"""


def test_without_a_device_the_tests_are_skipped_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "test_skipping.py").write_text(SKIPPING)
    (tmp_path / "conftest.py").write_text("pytest_plugins = ['tests.conftest']\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert len(lines) == 1, done.stdout
    assert lines[0].startswith("SKIPPED [4]") and "NOT TESTED: OpenCL" in lines[0]
