"""What all benchmarks are told, and how they start the program that they measure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

SMESHER = "import sys; from api.cli.main import main; sys.exit(main(sys.argv[1:]))"

Show = Callable[[object], None]
"""Prints a text with rich markup, a table, or anything else that rich can print."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How much to measure."""

    threads: int
    """For what is measured on all cores."""
    seconds: float = 0.5
    """One measurement; where a benchmark needs more or less, a multiple of it."""
    rounds: int = 5
    scrypt_n: int = 8192
    directory: Path = Path()
    """Temporary files of benchmarks that write go below it: its disk is measured."""


def beside(value: float, asked: float, unit: str) -> str:
    """A figure and what was asked for, as benchmarks print them."""
    return f"{value:,.2f} {unit} (asked: under {asked:,g})"


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended."""

    code: int
    output: str
    peak_bytes: int
    """The largest resident memory of the process or one of its children."""


def child(module: str, words: Sequence[str], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The figures that a module prints as JSON in a process of its own. Its errors go to our standard error."""
    finished = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures: dict[str, Any] = json.loads(finished.stdout)
    return figures


def smesher(words: Sequence[str], environment: Mapping[str, str] | None = None) -> Finished:
    """Runs `smesher` in a process of its own. Its errors go to our standard error."""
    process = subprocess.Popen(
        [sys.executable, "-c", SMESHER, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as pipe:
        output = pipe.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return Finished(process.returncode, output, usage.ru_maxrss * unit)
