"""`make demo`: a small but real data set with mainnet's scrypt N, made, shown and verified by the commands.

Repeatable and without input: every run makes the labels in the directory `demo-data` anew and touches nothing else. The
identity of the first run stays, since that run told to keep it.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from api.cli.main import main
from api.cli.output import Output
from prover.post import findings, identity, metadata, record
from prover.post.directory import LOCK_NAME
from prover.post.layout import file_number

DIRECTORY = Path("demo-data")
GOLDEN_ATX = "9eebff023abb17ccb775c602daade8ed708f0a50d3149a42801184f5b74f2865"
"""Mainnet's golden ATX: what a smesher commits to when nothing better is known."""

LABELS_PER_UNIT = 8192
NUM_UNITS = 4
FILE_BYTES = 131072


def clear(directory: Path) -> None:
    """Deletes what an earlier demo left, but for the key. Raises SystemExit when the directory holds anything else."""
    ours = {identity.FILE_NAME, metadata.FILE_NAME, record.FILE_NAME, findings.FILE_NAME, LOCK_NAME}
    if not directory.exists():
        return
    foreign = [file.name for file in directory.iterdir() if file.name not in ours and file_number(file.name) is None]
    if foreign:
        raise SystemExit(f"{directory} holds {foreign[0]}, which no demo made. Move the directory away and try again.")
    for file in directory.iterdir():
        if file.name != identity.FILE_NAME:
            file.unlink()


def step(output: Output, text: str, words: list[str]) -> None:
    """Runs one command as a person would type it; ends the demo when it fails."""
    output.say(f"\n[bold]{text}[/]")
    output.say(f"[dim]$ smesher {shlex.join(words)}[/]")
    sys.stdout.flush()
    code = main(words)
    if code:
        raise SystemExit(code)


def demo() -> None:
    """The demo: init, info, verify."""
    output = Output(json=False)
    clear(DIRECTORY)
    whose = "the identity of the first demo" if (DIRECTORY / identity.FILE_NAME).exists() else "a new identity"
    place = str(DIRECTORY)
    size = ["--num-units", str(NUM_UNITS), "--labels-per-unit", str(LABELS_PER_UNIT), "--scrypt-n", "8192"]
    step(
        output,
        f"1. Fill a directory: {NUM_UNITS} units of {LABELS_PER_UNIT} labels, {whose}, mainnet's scrypt N",
        ["init", "--data-dir", place, *size, "--max-file-size", str(FILE_BYTES), "--commitment-atx-id", GOLDEN_ATX],
    )
    step(output, "2. What is there", ["info", place])
    step(output, "3. Recompute a twentieth of the labels and compare", ["verify", place, "--fraction", "5"])
    output.say(
        "\n[bold]That is all there is to it.[/] The same commands fill real disks; a unit of mainnet is 64 GiB:\n"
        "  smesher providers --benchmark          what this machine can do\n"
        "  smesher init --data-dir /mnt/post --num-units 4 --commitment-atx-id HEX\n"
        "Interrupt it whenever you like: the same command goes on where it stopped."
    )


if __name__ == "__main__":
    demo()
