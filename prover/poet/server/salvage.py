"""Databases of a PoET server whose files are damaged: found before they are opened, set aside, read for what is left.

LevelDB begins anew where `CURRENT` is missing, leaves out what follows a damaged record, and serves flipped bits unless
told otherwise. So the files are read by ourselves first (`prover.leveldb_files`). Nothing is deleted: a damaged
database keeps its files under another name, and what can still be read of a copy goes into a new one.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prover import durable, leveldb
from prover.errors import DataError, EnvironmentFault
from prover.leveldb_files import check
from prover.leveldb_files.batch import operations
from prover.leveldb_files.check import Progress, Report
from prover.leveldb_files.log import good_records

NAMED = 3
"""Faults that a sentence names; of more it gives the number."""

PARTIAL = ".partial"
"""Ends the name of a database that is being saved; a leftover of a kill is made anew."""

Keep = Callable[[bytes, bytes], bool]
"""(key, value) -> whether the row is what such a database holds."""


class DamagedDatabase(DataError):
    """The files of a database are not what was written."""


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What became of a damaged database."""

    aside: Path
    """Where its files are now."""
    rows: int
    """Rows that could be read and are in the new database."""
    refused: int
    """Rows that could be read and are none of such a database."""

    def __str__(self) -> str:
        other = f", {self.refused} made no sense" if self.refused else ""
        return f"its files are kept in {self.aside}; {self.rows} rows could be read and were saved{other}"


def require_whole(path: Path) -> Report | None:
    """What was found of a database; None where none is there.

    Raises DamagedDatabase where opening it would lose or change what it held. The tail of a log that was torn, by a
    kill or a power cut, is no damage: the state before counts, and whoever opens the database says so.

    Reads what decides over the state: CURRENT, manifest and logs, names and sizes of tables. Raises EnvironmentFault.
    """
    with durable.explained(path, "read the database"):
        if not check.exists(path):
            return None
        report = check.quick(path)
    if not report.is_whole:
        raise DamagedDatabase(
            f"The database {path} is damaged: {faults(report)}. Nothing was changed. `smesher poet db check` reads all "
            "of it, `smesher poet db repair` saves what can be read."
        )
    return report


def faults(report: Report) -> str:
    """The first faults of a report, as words of a sentence."""
    more = f" and {len(report.findings) - NAMED} more" if len(report.findings) > NAMED else ""
    return "; ".join(str(finding) for finding in report.findings[:NAMED]) + more


def check_all(path: Path, progress: Progress = lambda count: None) -> Report:
    """Every byte of a database that nobody has open. Raises EnvironmentFault."""
    with durable.explained(path, "read the database"):
        return check.full(path, progress)


def salvage(path: Path, keep: Keep) -> Salvaged:
    """Sets a damaged database aside and makes a new one of the rows that can be read. Raises EnvironmentFault.

    A kill on the way leaves either the damaged database in its place or the new one.
    """
    partial = path.with_name(path.name + PARTIAL)
    with durable.explained(path, "save the database"):
        shutil.rmtree(partial, ignore_errors=True)
        scratch = path.with_name(f"{path.name}{PARTIAL}.copy")
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(path, scratch)
        rows, refused = _readable(scratch, keep)
        shutil.rmtree(scratch)
        _write(partial, rows)
        durable.sync_directory(partial)
        aside = durable.set_aside(path)
        durable.rename(partial, path)
    return Salvaged(aside, len(rows), refused)


def _readable(scratch: Path, keep: Keep) -> tuple[list[tuple[bytes, bytes]], int]:
    """Rows of a copy that can be read, those that make sense, and how many do not.

    Of tables LevelDB's own repair finds them; of logs we do, since it does not look at their checksums.
    """
    logs = sorted(scratch.glob("*.log"), key=lambda file: (len(file.name), file.name))
    batches = [record for file in logs for record in good_records(durable.read_whole(file, check.MAX_FILE_BYTES))]
    for file in logs:
        file.unlink()
    rows = dict(_of_tables(scratch))
    for record in batches:
        with contextlib.suppress(ValueError):  # a record that is no batch has nothing to say
            for key, value in operations(record):
                if value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = value
    kept = [(key, value) for key, value in sorted(rows.items()) if keep(key, value)]
    return kept, len(rows) - len(kept)


def _of_tables(scratch: Path) -> Iterator[tuple[bytes, bytes]]:
    try:
        leveldb.repair_db(str(scratch), paranoid_checks=True)
        database = leveldb.DB(str(scratch), create_if_missing=False)
    except leveldb.Error:
        return  # nothing of them can be read at all
    try:
        with database.iterator(verify_checksums=True) as iterator:
            yield from iterator
    except leveldb.Error:
        return  # what was read before the damage counts
    finally:
        database.close()


def _write(path: Path, rows: list[tuple[bytes, bytes]]) -> None:
    try:
        database = leveldb.DB(str(path), create_if_missing=True, error_if_exists=True)
        try:
            with database.write_batch(sync=True) as batch:
                for key, value in rows:
                    batch.put(key, value)
        finally:
            database.close()
    except leveldb.Error as error:
        raise EnvironmentFault(f"{path} could not be written: {error}.") from error
