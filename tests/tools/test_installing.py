"""What `make install`, `make lock` and `make platforms` promise, as far as it can be seen without a network."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tools import platforms

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def pins(lock: Path) -> set[str]:
    return {line.rstrip(" \\") for line in lock.read_text().splitlines() if line and line[0] not in " #"}


def test_the_platforms_were_tried_with_the_dependencies_as_they_are() -> None:
    tried = json.loads((ROOT / platforms.RECORD).read_text())
    assert tried["digest"] == platforms.digest(), "dependencies have changed: make platforms"
    assert tried["pythons"] == platforms.PYTHONS
    assert tried["platforms"] == ["Linux on x86-64", "Linux on Arm", "macOS on Arm"]


def test_the_locks_hold_what_pyproject_asks_for() -> None:
    assert platforms.unlocked() == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_everything_by_hash_and_names_no_host(lock: Path) -> None:
    blocks = lock.read_text().replace("\\\n", "").splitlines()
    requirements = [line for line in blocks if line and not line.startswith("#")]
    assert len(requirements) > 20
    for line in requirements:
        assert "==" in line and "--hash=sha256:" in line, line
    assert "://" not in lock.read_text()


def test_what_a_user_installs_is_what_was_tested() -> None:
    folder = ROOT / "requirements"
    for name in ("run", "opencl"):
        assert pins(folder / f"{name}.txt") <= pins(folder / "dev.txt")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that decide what is installed, to be altered."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def alter(root: Path, before: str, after: str) -> None:
    file = root / "pyproject.toml"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))


def test_a_range_that_the_lock_does_not_meet_is_named(copy: Path) -> None:
    alter(copy, '"numpy>=2.0"', '"numpy>=999"')
    first = platforms.unlocked(copy)[0]
    assert first.startswith("requirements/dev.txt has numpy ") and first.endswith("asked for: numpy>=999")


def test_a_dependency_that_the_lock_does_not_hold_is_named(copy: Path) -> None:
    alter(copy, '"numpy>=2.0"', '"numpy>=2.0", "absent-package; sys_platform == \'darwin\'"')
    found = platforms.unlocked(copy)
    assert found and all("has absent-package not for Python" in line and "macOS on Arm" in line for line in found)


def test_the_digest_follows_dependencies_and_nothing_else(copy: Path) -> None:
    before = platforms.digest(copy)
    alter(copy, "line-length = 120", "line-length = 121")
    assert platforms.digest(copy) == before
    alter(copy, '"numpy>=2.0"', '"numpy>=2.1"')
    assert platforms.digest(copy) != before


def source_package(folder: Path) -> None:
    """A package that exists as source only, as plyvel does for Python 3.13."""
    metadata = b"Metadata-Version: 2.1\nName: source-only\nVersion: 1.0\n"
    with tarfile.open(folder / "source-only-1.0.tar.gz", "w:gz") as archive:
        for name, content in (("PKG-INFO", metadata), ("setup.py", b"from setuptools import setup; setup()")):
            info = tarfile.TarInfo(f"source-only-1.0/{name}")
            info.size = len(content)
            archive.addfile(info, BytesIO(content))


@pytest.mark.parametrize("platform", platforms.PLATFORMS, ids=lambda platform: platform.name)
def test_a_package_that_would_be_compiled_is_named(tmp_path: Path, platform: platforms.Platform) -> None:
    source_package(tmp_path)
    (tmp_path / "wanted.txt").write_text("source-only==1.0\n")
    alone = ["--no-index", "--offline", "--no-config", "--find-links", str(tmp_path)]
    reason = platforms.resolve("wanted.txt", "3.13.0", platform, alone, root=tmp_path)
    assert "source-only==1.0 has no usable wheels" in reason


def test_nothing_uses_what_the_oldest_patch_release_lacks() -> None:
    """tarfile's filters came with 3.11.4; Debian 12 has 3.11.2."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.splitlines() if listed.returncode == 0 else []
    files = [ROOT / name for name in names] or [*ROOT.glob("[a-z]*/**/*.py")]
    assert len(files) > 100
    found = []
    for file in files:
        text = file.read_text()
        if "tarfile" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in ("extract", "extractall") and any(one.arg == "filter" for one in node.keywords):
                    found.append(f"{file.relative_to(ROOT)}:{node.lineno}")
            if isinstance(node, ast.Attribute) and node.attr in ("data_filter", "tar_filter", "fully_trusted_filter"):
                found.append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert found == []


# -- setup-venv.sh: a stand-in for Python says which version it is, and nothing is installed -----------------------


def setup(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the script in an empty folder, where only the programs of `folder/bin` and the system's tools are found."""
    (folder / "requirements").mkdir(exist_ok=True)
    (folder / "requirements/dev.txt").write_text("")
    tools = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "HOME": str(folder)}
    script = ROOT / "tools/setup-venv.sh"
    return subprocess.run(
        ["sh", str(script), ".venv"], cwd=folder, env=tools | environment, capture_output=True, text=True, timeout=60
    )


def stand_in(folder: Path, name: str, body: str) -> str:
    (folder / "bin").mkdir(exist_ok=True)
    file = folder / "bin" / name
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return str(file)


def test_a_python_that_does_not_fit_is_refused_by_name(tmp_path: Path) -> None:
    wrong = stand_in(tmp_path, "wrong-python", "exit 1")
    done = setup(tmp_path, PYTHON=wrong)
    assert done.returncode == 1
    assert done.stderr == f"setup: PYTHON={wrong} is not a Python of version 3.11 to 3.14.\n"


def test_the_missing_package_of_debian_is_named_with_what_was_typed(tmp_path: Path) -> None:
    fits = 'case "$2" in *ensurepip*) exit 1;; *python%d*) echo python3.11-venv;; esac; exit 0'
    python = stand_in(tmp_path, "bare-python", fits)
    stand_in(tmp_path, "apt-get", "exit 1")
    stand_in(tmp_path, "id", "echo 1000")
    stand_in(tmp_path, "sudo", "exit 1")
    done = setup(tmp_path, PYTHON=python, TYPED="make demo")
    assert done.returncode == 1
    assert done.stderr == (
        "setup: the package python3.11-venv is missing. Run: sudo apt-get install -y python3.11-venv"
        "   and then again: make demo\n"
    )


def test_an_extra_without_a_lock_is_refused(tmp_path: Path) -> None:
    done = setup(tmp_path, EXTRAS="cude")
    assert done.returncode == 1
    assert done.stderr == "setup: EXTRAS=cude: there is no such extra; there are opencl and cuda.\n"


def test_a_package_whose_hash_is_another_is_not_installed(tmp_path: Path) -> None:
    """The options of the script, with a wheel that somebody has exchanged."""
    wheel = tmp_path / "tampered-1.0-py3-none-any.whl"
    wheel.write_bytes(b"not what was locked")
    (tmp_path / "lock.txt").write_text(f"tampered==1.0 --hash=sha256:{'0' * 64}\n")
    words = ["install", "--require-hashes", "--only-binary", ":all:", "-r", "lock.txt"]
    assert "--require-hashes --only-binary :all:" in (ROOT / "tools/setup-venv.sh").read_text()
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--isolated", *words, "--no-index", "--find-links", ".", "--target", "to"],
        cwd=tmp_path,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "to").exists()
