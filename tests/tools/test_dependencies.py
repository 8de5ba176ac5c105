"""docs/dependencies.md names what is installed, all of it and nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def tables() -> dict[str, dict[str, list[str]]]:
    """Section -> package -> its other cells."""
    found: dict[str, dict[str, list[str]]] = {}
    section, width = "", 0
    for line in (ROOT / "docs/dependencies.md").read_text().splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("|"):
            name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            if name == "package":
                width = len(cells)
            elif set(name) != {"-"}:
                assert len(cells) == width and all(cells), f"{section}: {name} has an empty cell"
                assert name not in found.setdefault(section, {}), f"{section}: {name} is there twice"
                found[section][name] = cells
    return found


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(one).name) for one in requirements}


def locked(name: str) -> set[str]:
    lines = (ROOT / f"requirements/{name}.txt").read_text().splitlines()
    return {canonicalize_name(re.split(r"[=\s;]", line)[0]) for line in lines if line and line[0] not in " #"}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
PAGE = tables()


def test_what_smesher_needs_is_what_pyproject_says() -> None:
    assert set(PAGE["What smesher needs"]) == names(PROJECT["project"]["dependencies"])


def test_what_those_bring_is_what_the_lock_holds_besides() -> None:
    own = names(PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"])
    assert set(PAGE["What those bring with them"]) == locked("run") - own


def test_extras_are_named_with_all_the_extras_that_they_are_in() -> None:
    users = {name: names(EXTRAS[name]) for name in ("cuda", "opencl", "pocl", "uvloop", "dev")}
    told = PAGE["Extras"]
    assert set(told) == users["cuda"] | users["opencl"] | users["pocl"] | users["uvloop"]
    for package, cells in told.items():
        assert cells[0].split(", ") == [extra for extra in users if package in users[extra]], package


def test_the_contributors_tools_are_the_rest_of_dev() -> None:
    wanted = (names(EXTRAS["dev"]) | names(PROJECT["build-system"]["requires"])) - set(PAGE["Extras"])
    assert set(PAGE["Contributors' tools"]) == wanted
