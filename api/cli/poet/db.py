"""`smesher poet db check|repair`: the databases of a PoET server that is stopped, read byte for byte, and saved.

Nothing is deleted: a damaged database keeps its files under another name beside the new one.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from api.cli import common
from api.cli.output import Output
from api.edge.lock import DirectoryLock
from api.services.poet.config import LOCK_NAME, default_poetdir
from prover.errors import DataError, UsageError
from prover.leveldb_files import check
from prover.poet.server import salvage
from prover.poet.server.salvage import Keep
from prover.poet.server.store import is_member_row, is_proof_row, stored_rounds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Check the databases of a stopped PoET server: every byte of them; or repair them: what can be read of a "
        "damaged one goes into a new one, and its files are kept beside it."
    )
    parser.add_argument("deed", choices=("check", "repair"), metavar="check|repair", help="what to do")
    parser.add_argument("--poetdir", type=common.path, metavar="D", help="the server's directory (default: as its own)")
    parser.add_argument("--datadir", type=common.path, metavar="D", help="where its rounds are (default: data in it)")
    parser.add_argument("--dbdir", type=common.path, metavar="D", help="where its databases are (default: db in it)")


@dataclass(frozen=True, slots=True)
class Found:
    """One database, and what a row of it looks like."""

    path: Path
    keep: Keep


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: all are whole, or were repaired; 1: some are damaged, or the server is running."""
    poetdir = arguments.poetdir or default_poetdir(os.environ)
    datadir = arguments.datadir or poetdir / "data"
    databases = _databases(datadir, arguments.dbdir or poetdir / "db")
    repaired = 0
    lock = DirectoryLock.take(datadir / LOCK_NAME, f"smesher poet db {arguments.deed}")
    try:
        damaged = [one for one in databases if not _check(one, output)]
        if arguments.deed == "repair":
            for one in damaged:
                _repair(one, output)
                repaired += 1
    finally:
        lock.release()
    output.event("done", databases=len(databases), damaged=len(damaged), repaired=repaired)
    if not damaged:
        output.say(f"[bold green]ok[/]  {len(databases)} databases are whole")
    elif not repaired:
        output.say("next: smesher poet db repair with the same options; it keeps the damaged files")
    return 0 if repaired == len(damaged) else 1


def _databases(datadir: Path, dbdir: Path) -> list[Found]:
    """The proofs, and the members of each round. Raises UsageError, DataError."""
    if not datadir.is_dir():
        raise UsageError(
            f"{datadir} is no directory, expected the data directory of a PoET server (--poetdir, --datadir)."
        )
    found = [Found(dbdir / "rounds" / str(number), is_member_row) for number in stored_rounds(dbdir / "rounds")]
    if (dbdir / "proofs").is_dir():
        found.insert(0, Found(dbdir / "proofs", is_proof_row))
    if not found:
        raise DataError(f"{dbdir} holds no database of a PoET server.")
    return found


def _check(one: Found, output: Output) -> bool:
    """Whether a database is whole; says what is wrong."""
    with output.progress(f"reading {one.path}", check.size_of(one.path), unit="bytes") as bar:
        report = salvage.check_all(one.path, bar.add)
    output.event(
        "database",
        path=str(one.path),
        whole=report.is_whole,
        bytes=report.read_bytes,
        findings=[str(finding) for finding in report.findings],
        torn=[str(finding) for finding in report.torn],
    )
    for finding in report.findings:
        output.say(f"[red]damaged[/]  {one.path}: {finding}")
    for finding in report.torn:
        output.note(f"{one.path}: {finding}; the state before it counts")
    return report.is_whole


def _repair(one: Found, output: Output) -> None:
    saved = salvage.salvage(one.path, one.keep)
    output.event("repaired", path=str(one.path), aside=str(saved.aside), rows=saved.rows, refused=saved.refused)
    output.say(f"[bold green]repaired[/]  {one.path}: {saved}")
