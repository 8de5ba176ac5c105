"""Whether smesher installs without a compiler on every platform that it promises (`make platforms`).

    python tools/platforms.py [--if-changed]

For each Python and platform below, the resolver is given the lock file, and then the ranges of pyproject.toml, and
may take wheels only: a package that would have to be compiled ends the run with its name. What was tried is kept in
`requirements/tried.json` together with a digest of everything that the answer depends on. `--if-changed`, which is
part of `make check`, looks at that digest first and needs a network only where dependencies have changed.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECORD = "requirements/tried.json"

PYTHONS = {
    "3.11.2": "the oldest 3.11 that a supported system brings: Debian 12",
    "3.12.0": "the first 3.12",
    "3.13.0": "the first 3.13",
    "3.14.0": "the first 3.14",
}
"""The patch releases that are resolved for, and why these."""

RUN_ON = {
    "3.11.2": "Debian 12 with nothing else installed",
    "3.11.7": "a clean clone on Linux x86-64",
    "3.13.5": "Debian 13 with nothing else installed",
}
"""The releases that all tests were run on, from nothing installed but Python, git and make."""


@dataclass(frozen=True, slots=True)
class Platform:
    """Where smesher has to install."""

    name: str
    tag: str
    """How the resolver calls it; the oldest C library that is promised for Linux is glibc 2.28."""
    sys_platform: str
    machine: str


PLATFORMS = (
    Platform("Linux on x86-64", "x86_64-manylinux_2_28", "linux", "x86_64"),
    Platform("Linux on Arm", "aarch64-manylinux_2_28", "linux", "aarch64"),
    Platform("macOS on Arm", "aarch64-apple-darwin", "darwin", "arm64"),
)

LOCKS = {"dev": PLATFORMS, "run": PLATFORMS, "opencl": PLATFORMS, "cuda": PLATFORMS[:2]}
"""The lock files below requirements/ and where each must install; there is no CUDA on a Mac."""

AT_ONCE = 8
"""Resolvers at the same time: each of them mostly waits for the index."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One combination that does not install from wheels alone."""

    what: str
    reason: str
    """The resolver's own words, which name the package."""


def resolve(source: str, python: str, platform: Platform, options: Sequence[str] = (), root: Path = ROOT) -> str:
    """Resolves `source` with wheels only; "" where that works, else the resolver's reason. Installs nothing."""
    words = [sys.executable, "-m", "uv", "pip", "compile", source, "--quiet", "--only-binary", ":all:", "--no-header"]
    words += ["--python-version", python, "--python-platform", platform.tag, *options]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip()


def refusals() -> list[Refusal]:
    """Tries every combination and returns those that fail."""
    # run.txt and opencl.txt hold nothing that dev.txt does not hold in the same version
    sources = [
        ("requirements/dev.txt", PLATFORMS),
        ("requirements/cuda.txt", LOCKS["cuda"]),
        ("pyproject.toml", PLATFORMS),
    ]
    tried = [
        (source, python, platform)
        for source, platforms in sources
        for platform, python in itertools.product(platforms, PYTHONS)
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        reasons = pool.map(lambda one: resolve(*one), tried)
        return [
            Refusal(f"{source}, Python {python}, {platform.name}", reason)
            for (source, python, platform), reason in zip(tried, reasons)
            if reason
        ]


def project(root: Path = ROOT) -> dict[str, Any]:
    """What pyproject.toml says."""
    with (root / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def ranges(root: Path = ROOT) -> dict[str, list[str]]:
    """The requirements that each lock file has to fulfil, by its name."""
    told = project(root)
    own: list[str] = told["project"]["dependencies"] + told["build-system"]["requires"]
    extras: dict[str, list[str]] = told["project"]["optional-dependencies"]
    return {name: own + extras.get(name, []) for name in LOCKS}


def digest(root: Path = ROOT) -> str:
    """Of all that decides what is installed where; other settings in pyproject.toml do not count."""
    told = project(root)["project"]
    decides = [ranges(root), told["optional-dependencies"], told["requires-python"], sorted(PYTHONS), str(LOCKS)]
    taken = hashlib.sha256(json.dumps(decides, sort_keys=True).encode())
    for name in LOCKS:
        taken.update((root / f"requirements/{name}.txt").read_bytes())
    return taken.hexdigest()


def unlocked(root: Path = ROOT) -> list[str]:
    """What pyproject.toml asks for and a lock file does not hold, one sentence each: then `make lock` was forgotten."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found = []
    for name, wanted in ranges(root).items():
        lines = (root / f"requirements/{name}.txt").read_text().splitlines()
        pinned = [Requirement(line.rstrip(" \\")) for line in lines if line and line[0] not in " #"]
        for platform, python in itertools.product(LOCKS[name], PYTHONS):
            there = {
                canonicalize_name(one.name): next(iter(one.specifier)).version
                for one in pinned
                if holds(one, platform, python)
            }
            for one in map(Requirement, wanted):
                version = there.get(canonicalize_name(one.name))
                if holds(one, platform, python) and (version is None or version not in one.specifier):
                    where = f"Python {python}, {platform.name}"
                    has = f"requirements/{name}.txt has {one.name} {version or 'not'}"
                    found.append(f"{has} for {where}; asked for: {one}")
    return found


def holds(requirement: Any, platform: Platform, python: str) -> bool:
    """Whether a requirement counts on a platform."""
    environment = {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": platform.sys_platform,
        "platform_machine": platform.machine,
        "extra": "",
    }
    return requirement.marker is None or bool(requirement.marker.evaluate(environment))


def said() -> str:
    """What was tried, for people."""
    pythons = ", ".join(f"{version} ({why})" for version, why in PYTHONS.items())
    run_on = " and ".join(f"{version} ({system})" for version, system in RUN_ON.items())
    return (
        f"platforms: wheels for all of {', '.join(one.name for one in PLATFORMS)} with Python {pythons}. "
        f"All tests were run with Python {run_on}."
    )


def main() -> int:
    """The tool. 0: everything installs from wheels; 1: something does not, or the lock files are old."""
    parser = argparse.ArgumentParser(description="Try whether every platform has wheels for everything.")
    parser.add_argument("--if-changed", action="store_true", help="only where dependencies changed since the last time")
    arguments = parser.parse_args()

    if old := unlocked():
        print(*old, "Run: make lock", sep="\n", file=sys.stderr)
        return 1
    record = ROOT / RECORD
    now = digest()
    if arguments.if_changed and record.exists() and json.loads(record.read_text())["digest"] == now:
        return 0
    failed = refusals()
    for one in failed:
        print(f"platforms: {one.what}: not from wheels alone.\n{one.reason}", file=sys.stderr)
    if failed:
        return 1
    tried = {"digest": now, "platforms": [one.name for one in PLATFORMS], "pythons": PYTHONS, "tests_run_on": RUN_ON}
    record.write_text(json.dumps(tried, indent=2) + "\n")
    print(said())
    return 0


if __name__ == "__main__":
    sys.exit(main())
