"""Two nodes' identities in one data directory, with everything that they have signed and are working on.

The keys come last: should it end in between, nothing smeshes twice, and it can be run again. Protocol 11-user-tools,
section 7.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from api.edge.errors import DataError, EnvironmentFault, UsageError
from api.edge.lock import DirectoryLock
from node.schema import OWN
from node.store.level import open_own_store
from node.store.view import Rows, StoreView
from protocol.crypto.signing import IDENTITY_FILE_MODE
from prover import durable

from . import genesis_file, record
from .data_directory import FOREIGN, DataDirectory, absolute
from .identities import SUPERVISED_NAME, OwnIdentity, read_all


@dataclass(frozen=True, slots=True)
class Merged:
    """What was added."""

    identities: dict[str, str]
    """Name of the key file to node id in hex."""
    rows: int


def merge(source: Path, target: Path) -> Merged:
    """Adds the identities of one data directory to another, which may be empty. The first one stays as it is.

    Raises UsageError, DataError for what cannot be joined, EnvironmentFault, StoreFault.
    """
    theirs, ours = DataDirectory(absolute(str(source))), DataDirectory(absolute(str(target)))
    if theirs == ours:
        raise UsageError(f"{theirs.path} cannot be joined with itself.")
    for data in (theirs, ours):
        _check_ours(data)
    if not theirs.own.is_dir():
        raise UsageError(f"{theirs.path} holds no store {theirs.own.name}, expected the data directory of a node.")
    with durable.explained(ours.identities, "make"):
        durable.make_directory(ours.identities)
    with _held(theirs), _held(ours):
        genesis_id = _same_network(theirs, ours)
        added, there = read_all(theirs.identities, genesis_id), read_all(ours.identities, genesis_id)
        if not added:
            raise UsageError(f"{theirs.identities} holds no key: there is nothing to add.")
        _check_keys(theirs.identities, added, ours.identities, there)
        rows = _copy_rows(theirs, ours)
        _copy_record(theirs, ours)
        for one in added:
            _copy_key(theirs.identities / one.name, ours.identities / one.name)
        return Merged({one.name: one.node_id.hex() for one in added}, rows)


def _check_keys(source: Path, added: Sequence[OwnIdentity], target: Path, there: Sequence[OwnIdentity]) -> None:
    """Whether the keys can lie in one folder. Raises UsageError, DataError."""
    for folder, keys in ((source, added), (target, there)):
        if any(key.name == SUPERVISED_NAME for key in keys):
            raise UsageError(
                f"{folder / SUPERVISED_NAME} is the key of a node that smeshes itself, which has one identity only. "
                "Give the file a name of its own first, on both sides different, ending with .key."
            )
    for key in added:
        same = next((other for other in there if key.node_id == other.node_id or key.name == other.name), None)
        if same is not None:
            what = "the same identity as" if key.node_id == same.node_id else "a key of the same name as"
            raise DataError(
                f"{source / key.name} is {what} {target / same.name}. An identity smeshes once, and every key has a "
                "name of its own: take one away, or rename it."
            )


def _copy_key(source: Path, target: Path) -> None:
    try:
        durable.create(target, durable.read_whole(source), IDENTITY_FILE_MODE)
    except OSError as error:
        raise EnvironmentFault(
            f"{target} cannot be written: {durable.reason(error)}. Keys that were added before it are there; take them "
            "away and run the same command again."
        ) from None


@contextmanager
def _held(data: DataDirectory) -> Iterator[None]:
    lock = DirectoryLock.take(
        data.lock, "smesher merge-nodes", subject=str(data.path), advice="Stop what runs there first."
    )
    try:
        yield
    finally:
        lock.release()


def _check_ours(data: DataDirectory) -> None:
    foreign = next((name for name in FOREIGN if (data.path / name).is_file()), None)
    if foreign and not data.own.is_dir():
        raise UsageError(
            f"{data.path} is the data directory of an original node ({foreign} is there). Move it over first: "
            f"smesher migrate from-go {data.path}"
        )


def _same_network(theirs: DataDirectory, ours: DataDirectory) -> bytes:
    """The genesis id of both; the file is copied where the target has none. Raises DataError."""
    first, second = genesis_file.read(theirs.genesis), genesis_file.read(ours.genesis)
    if first is None:
        raise DataError(f"{theirs.genesis} is missing: of which network these identities are is not known.")
    genesis_file.keep(ours.genesis, second, first, ours.stores)
    return first.genesis_id


def _copy_rows(theirs: DataDirectory, ours: DataDirectory) -> int:
    source, target = open_own_store(theirs.own, OWN), None
    try:
        target = open_own_store(ours.own, OWN)
        rows, count = Rows(target.view()), 0
        view: StoreView = source.view()
        for table in OWN.tables:
            for key, row in view.scan(table):
                there = rows.get(table, key)
                if there is None:
                    rows.put(table, key, row)
                    count += 1
                elif there != row:
                    raise DataError(
                        f"Both stores have something of {table.name} for the same identity, and not the same. "
                        f"Nothing was copied: one of {theirs.own} and {ours.own} belongs to a node that is already "
                        "part of the other."
                    )
        target.write(rows)
        return count
    finally:
        source.close()
        if target is not None:
            target.close()


def _copy_record(theirs: DataDirectory, ours: DataDirectory) -> None:
    kept, known = record.read(ours.record), record.read(theirs.record)
    if kept is None and known is not None:
        record.write(ours.record, replace(known, identities={}, stores=ours.stores))
