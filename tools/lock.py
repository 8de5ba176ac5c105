"""Writes the lock files below `requirements/`: exact versions with hashes, for every platform at once (`make lock`).

    python tools/lock.py [--upgrade]

`dev.txt` is what `make install` installs; the others hold the same versions without the contributor's tools, plus
one extra each: `run.txt` none, `opencl.txt`, `cuda.txt`. Ranges stay in pyproject.toml, for those who install
smesher as a library. Without `--upgrade` versions that still fit are kept. What a lock promises for other platforms
is tried by `make platforms`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
LOCKS = {"dev": ("dev",), "run": (), "opencl": ("opencl",), "cuda": ("cuda",)}
"""The extras that each lock file holds besides the dependencies; the first one is made first and binds the rest."""

OLDEST = "3.11"
HEAD = """\
# Exact versions with hashes, for every platform: {what}. Made by `make lock`; do not edit.
"""


def build_requirements() -> list[str]:
    """What builds smesher itself: it is installed without looking for anything on an index."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return list(tomllib.load(file)["build-system"]["requires"])


def command(name: str, *, upgrade: bool) -> list[str]:
    """The command that writes one lock file."""
    words = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "-", "--quiet", "--universal"]
    words += ["--python-version", OLDEST, "--generate-hashes", "--no-header", "--no-annotate"]
    for extra in LOCKS[name]:
        words += ["--extra", extra]
    if name != "dev":
        words += ["--constraints", "requirements/dev.txt"]
    return [*words, *(["--upgrade"] if upgrade else []), "--output-file", f"requirements/{name}.txt"]


def main() -> int:
    """The tool. 0: written; 1: the versions cannot be chosen, with the resolver's reason."""
    parser = argparse.ArgumentParser(description="Write the lock files.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that the ranges allow")
    upgrade = parser.parse_args().upgrade
    FOLDER.mkdir(exist_ok=True)
    for name, extras in LOCKS.items():
        done = subprocess.run(
            command(name, upgrade=upgrade), cwd=ROOT, input="\n".join(build_requirements()), text=True, check=False
        )
        if done.returncode:
            print(f"lock: requirements/{name}.txt was not written: see above.", file=sys.stderr)
            return 1
        file = FOLDER / f"{name}.txt"
        what = " and ".join(["the dependencies", *(f"the extra `{extra}`" for extra in extras)])
        file.write_text(HEAD.format(what=what) + file.read_text())
        print(f"lock: requirements/{name}.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
