"""What leaves the repository: the installed command, the source package, the image."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
START = "import sys, smesher; sys.exit(smesher.main())"


def started(*path: Path, words: tuple[str, ...] = ("--version",)) -> subprocess.CompletedProcess[str]:
    """The command as it is installed, with these folders first on Python's path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run(
        [sys.executable, "-P", "-c", START, *words], env=environment, capture_output=True, text=True, timeout=60
    )


def test_the_command_finds_its_own_packages(tmp_path: Path) -> None:
    done = started(ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("smesher ")


@pytest.mark.parametrize("name", ["api", "node", "prover", "protocol", "kernels"])
def test_a_strangers_package_of_our_name_is_named(tmp_path: Path, name: str) -> None:
    stranger = tmp_path / name
    stranger.mkdir()
    (stranger / "__init__.py").write_text("raise SystemExit('a stranger ran')")
    done = started(tmp_path, ROOT)
    assert done.returncode == 3
    assert done.stderr.startswith(f"smesher: The package {name} that Python finds is not smesher's but {stranger}: ")
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_module_of_our_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "api.py").write_text("raise SystemExit('a stranger ran')")
    done = started(tmp_path, ROOT)
    assert done.returncode == 3 and f"not smesher's but {tmp_path / 'api.py'}:" in done.stderr


def test_the_installed_command_starts_there() -> None:
    assert 'smesher = "smesher:main"' in (ROOT / "pyproject.toml").read_text()


# -- what is built -------------------------------------------------------------------------------------------------


def tracked() -> set[str]:
    """The files of the repository, from git where there is one; a source package holds the same."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    kept = (
        "api",
        "node",
        "prover",
        "protocol",
        "kernels",
        "tests",
        "bench",
        "tools",
        "docs",
        "packaging",
        "requirements",
    )
    return {str(path.relative_to(ROOT)) for top in kept for path in (ROOT / top).rglob("*.*") if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source package and the wheel, built from a copy of the repository without a network."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    code = "from setuptools import build_meta as b; b.build_sdist('../dist'); b.build_wheel('../dist')"
    (folder / "dist").mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder / "dist"


def test_the_source_package_holds_the_whole_repository(built: Path) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked() - held == set()


def test_the_wheel_holds_the_packages_and_nothing_else(built: Path) -> None:
    (file,) = built.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        held = archive.namelist()
    tops = {name.split("/")[0] for name in held if ".dist-info" not in name}
    assert tops == {"api", "node", "prover", "protocol", "kernels", "smesher.py"}
    wanted = {name for name in tracked() if name.split("/")[0] in tops and name.endswith((".py", ".cl"))}
    assert wanted <= set(held)


# -- the image -----------------------------------------------------------------------------------------------------

DOCKERFILE = (ROOT / "Dockerfile").read_text()
INSTALL = (ROOT / "docs/guides/install.md").read_text()


def test_the_image_copies_what_dockerignore_lets_through() -> None:
    allowed = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    packages = {"api", "node", "prover", "protocol", "kernels"}
    assert allowed == packages | {"pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "smesher.py", "requirements"}
    assert all((ROOT / name).exists() for name in allowed)


def test_the_image_is_made_of_locked_wheels_only() -> None:
    installs = re.findall(r"^RUN .*pip install (.*)$", DOCKERFILE, re.MULTILINE)
    assert len(installs) == 2
    assert "--require-hashes --only-binary :all:" in installs[0]
    assert "--no-index --no-deps --no-build-isolation" in installs[1]


def test_the_image_builds_for_any_processor_of_its_base() -> None:
    bases = re.findall(r"^FROM (.*?)(?: AS \w+)?$", DOCKERFILE, re.MULTILINE)
    assert bases == ["python:3.12-slim"] * 2  # no --platform, no digest of one processor's image


def test_compiled_kernels_are_kept_in_a_volume_that_the_guide_names() -> None:
    (volumes,) = re.findall(r"^VOLUME \[(.*)\]", DOCKERFILE, re.MULTILINE)
    (cache,) = re.findall(r"NUMBA_CACHE_DIR=(\S+)", DOCKERFILE)
    assert f'"{cache}"' in volumes
    runs = re.findall(r"^docker run .*$", INSTALL, re.MULTILINE)
    assert len(runs) >= 4 and all(f"-v smesher-cache:{cache}" in run for run in runs)


def test_the_guides_build_arguments_are_the_images() -> None:
    arguments = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    given = re.findall(r"--build-arg (\w+)=(\S+)", INSTALL)
    assert {name for name, _ in given} == arguments
    for lock in (value for name, value in given if name == "LOCK"):
        assert (ROOT / f"requirements/{lock}.txt").is_file()


def test_systems_that_do_not_work_are_not_promised() -> None:
    """Locks of files, limits of processes and LevelDB are Unix's; Windows runs all of it in WSL2, as the guide says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    systems = {one.split(" :: ")[1] for one in project["classifiers"] if one.startswith("Operating System")}
    assert systems == {"MacOS", "POSIX"}
    assert "WSL2" in (ROOT / "docs/guides/install.md").read_text()
