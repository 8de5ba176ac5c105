"""`smesher db`: whether the stores of a node are whole, a copy of what must not be lost, their room, a state.sql.

`check` reads every byte of the files by itself, then opens a store that is whole, as the node would, and reads every
row and index. A database of another program, such as a PoET server's, has its files checked.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from api.cli import common
from api.cli.node import db_space
from api.cli.output import Output
from api.cli.words import Word, add_words
from node.schema import OWN, SCHEMAS
from node.store.check import check_rows
from node.store.errors import StoreDamaged, StoreRefused
from node.store.marker import SUFFIX, Marker, marker_of
from node.store.own import OwnStore
from node.store.store import Store, recorded_name

SHOWN = 20
"""Faults listed on the screen; all of them are in the JSON events, up to 100 of rows."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of the command."""
    add_words(parser, WORDS)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """The word's exit code."""
    return WORDS[arguments.word].run(arguments, output)


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dir", type=common.path, metavar="DIR", help="the data directory of a node, or the folder of one database"
    )


def _check(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: everything is whole; 1: something is not; 2: there is no store; 3: it cannot be read."""
    stores = _stores(arguments.dir)
    if not stores:
        output.error(2, f"{arguments.dir} holds no store of a node and no database. Name the directory that does.")
        return 2
    results = [_check_store(path, output) for path in stores]
    output.event("done", whole=all(results), stores=len(results))
    return 0 if all(results) else 1


def _stores(directory: Path) -> list[Path]:
    """The stores that are, or should be, in a directory; or the directory itself."""
    from prover.leveldb_files import check as files  # loads compiled code; help needs none of it

    if _is_store(directory):
        return [directory]
    if not directory.is_dir():
        return []
    names = {path.name.removesuffix(SUFFIX) for path in directory.iterdir() if path.name.endswith(SUFFIX)}
    names |= {path.name for path in directory.iterdir() if path.is_dir() and files.exists(path)}
    return [path for name in sorted(names) if _is_store(path := directory / name)]


def _is_store(path: Path) -> bool:
    from prover.leveldb_files import check as files  # loads compiled code; help needs none of it

    marker = marker_of(path)
    return (marker.is_file() and marker.stat().st_size > 0) or (path.is_dir() and files.exists(path))


def _check_store(path: Path, output: Output) -> bool:
    faults, size = _check_files(path, output)
    rows = 0
    tables: dict[str, int] = {}
    if not faults:
        faults, tables = _check_tables(path, output)
        rows = sum(tables.values())
    for number, text in enumerate(faults):
        output.event("fault", store=str(path), text=text)
        if number < SHOWN:
            output.say(f"[red]damaged[/]  {text}")
    if len(faults) > SHOWN:
        output.say(f"... and {len(faults) - SHOWN} more (all of them with --json)")
    output.event("store", path=str(path), whole=not faults, bytes=size, rows=rows, tables=tables)
    if faults:
        output.say(f"next: restore {path} from a backup, or delete it and {marker_of(path).name} to begin anew")
    else:
        output.say(f"[bold green]ok[/]  {path}: {size:,} bytes and {rows:,} rows are whole")
    return not faults


def _check_files(path: Path, output: Output) -> tuple[list[str], int]:
    """What is wrong with the files, and how many bytes were read. Raises StoreRefused while another process writes."""
    from prover.leveldb_files import check as files  # loads compiled code; help needs none of it

    held = Marker.take(path) if marker_of(path).exists() else None
    try:
        if not path.is_dir():
            return [f"{path} is missing, although {marker_of(path).name} says that it existed"], 0
        with output.progress(f"reading {path.name}", files.size_of(path), unit="bytes") as bar:
            report = files.full(path, bar.add)
    finally:
        if held is not None:
            held.release()
    for torn in report.torn:
        output.note(f"{torn}: a write was cut off; the state before it counts")
    return [str(finding) for finding in report.findings], report.read_bytes


def _check_tables(path: Path, output: Output) -> tuple[list[str], dict[str, int]]:
    """What is wrong with the rows, and how many there are in each table and index."""
    from node.store.level import LevelBackend  # the store loads much; help needs none of it

    if not marker_of(path).exists():
        return [], {}  # not one of ours
    backend = LevelBackend.open(path, path.name)
    try:
        schema = SCHEMAS.get(recorded_name(backend) or "")
        if schema is None:
            return [f"{path} is a store, but records no schema that this program knows"], {}
        kind = OwnStore if schema.tables and schema.tables[0].is_own else Store
        store = kind(schema, backend)
        with output.progress(f"rows of {path.name}", None, unit="rows") as bar:
            report = check_rows(store, bar.add)
    except (StoreDamaged, StoreRefused) as fault:
        return [str(fault)], {}
    finally:
        backend.close()
    unsaid = report.faults - len(report.texts)
    return report.texts + ([f"{unsaid} more faults of rows"] if unsaid else []), dict(report.rows)


def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", type=common.path, metavar="DIR", help="the data directory of a node that is stopped")
    parser.add_argument("to", type=common.path, metavar="FOLDER", help="where the copy goes; it must not be there")


def _backup(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: the copy is there and whole; 1: damaged, in use, or the folder exists; 2: there is no own store."""
    from node.store.level import back_up, open_own_store  # the store loads much; help needs none of it

    path = arguments.dir / OWN.name
    if not _is_store(path):
        output.error(2, f"{arguments.dir} holds no store {OWN.name}. Name the data directory of a node.")
        return 2
    store = open_own_store(path, OWN)
    try:
        rows = back_up(store, arguments.to)
    finally:
        store.close()
    output.event("done", path=str(arguments.to), rows=rows)
    output.say(f"[bold green]done[/]  {rows:,} rows are in {arguments.to}")
    output.say(
        "Put it in place of the original only where that is lost: identities that have signed since then could "
        "contradict themselves."
    )
    return 0


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    db_space.dir_argument(parser)
    parser.add_argument("file", type=common.path, metavar="FILE", help="the database; it must not be there")
    parser.add_argument(
        "-c",
        "--config",
        type=common.path,
        metavar="FILE",
        help="the node's configuration file; needed for a network that is not public",
    )


def _export(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: the file is there; 1: the stores are damaged or in use, or it exists; 2: usage; 3: environment."""
    from api.cli.node.migrate import Steps  # all of this loads much; help needs none of it
    from api.node.data_directory import DataDirectory, absolute
    from api.node.original import directory
    from api.node.original.hand_back import export

    data = DataDirectory(absolute(str(arguments.dir)))
    file = absolute(str(arguments.file))
    configured = None if arguments.config is None else directory.configured(arguments.config)
    rows = export(data, directory.with_genesis(configured, data.path), file, Steps(output))
    output.event("done", path=str(file), rows=rows)
    output.say(f"[bold green]done[/]  {rows:,} rows are in {file}")
    return 0


WORDS = {
    "check": Word(_check_arguments, _check, "read everything in the stores of a node and name what is damaged"),
    "backup": Word(_backup_arguments, _backup, "copy what a node has signed and must not lose"),
    "size": Word(db_space.dir_argument, db_space.size, "tell how much room the stores of a node take, by tables"),
    "compact": Word(db_space.dir_argument, db_space.compact, "write the stores anew, without what is not needed"),
    "export": Word(_export_arguments, _export, "make a state.sql, for programs that read an original node's"),
}
