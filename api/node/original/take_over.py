"""`smesher migrate from-go`: the data of an original node becomes ours; nothing of it is changed.

Everything is made in a directory beside the one that is wanted, which gets its name last: after a kill at any instant
there is either nothing or all of it. Specified in protocol 09b-node-storage-libp2p, sections 5 and 6.1.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from api.edge.errors import DataError, EnvironmentFault
from api.node import record
from api.node.data_directory import DataDirectory
from node.assembly.parameters import parameters_of
from node.migration import records
from node.migration.errors import MigrationError
from node.migration.local import LocalTaker
from node.migration.names import TABLE_OF
from node.migration.signed import put_signed
from node.migration.take import AnyTaker, Taker, take_all
from node.schema import OWN, STATE
from node.store.level import open_own_store, open_store
from node.store.stores import Stores
from node.store.view import Rows
from protocol.types.ids import NodeId
from prover import durable

from . import directory, reading, schema
from .directory import Original
from .reading import Database

SPARE_BYTES = 64 << 20
GROWTH = 1.5
"""Our stores take less than this times the bytes of the databases; measured on small chains: 1.1."""

Told = Callable[[int], None]


class Watch(Protocol):
    """Who is told how far it is."""

    def step(self, what: str, total: int | None) -> AbstractContextManager[Told]:
        """A step begins; within it the function is given how much more of it is done."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What came of it."""

    rows: dict[str, int]
    """Of each table."""
    identities: dict[str, NodeId]
    """By the names of their key files."""
    signed: int
    """Own messages that are noted, so that they are not signed again."""
    carried: tuple[str, ...]
    """Files that were copied."""


def take_over(original: Original, ours: Path, watch: Watch) -> TakenOver:
    """Makes our data directory of an original's. ours: a directory that is empty, or not there.

    Raises DataError, UsageError, EnvironmentFault, StoreFault; nothing is left at `ours` then.
    """
    _require_empty(ours)
    if ours == original.path or original.path in ours.parents:
        raise DataError(f"{ours} lies within {original.path}, which is to stay as it is. Name another directory.")
    beside = ours.with_name(f"{ours.name}.migrating")
    with original.held(), ExitStack() as held:
        held.callback(shutil.rmtree, beside, ignore_errors=True)
        _require_room(original, ours)
        try:
            shutil.rmtree(beside, ignore_errors=True)  # of a run that was killed
            durable.make_directory(beside)
        except OSError as error:
            raise EnvironmentFault(f"{beside} cannot be made: {durable.reason(error)}.") from None
        found = _fill(original, DataDirectory(beside), watch)
        try:
            if ours.is_dir():
                ours.rmdir()
            durable.rename(beside, ours)
        except OSError as error:
            raise EnvironmentFault(f"{beside} cannot be renamed to {ours}: {durable.reason(error)}.") from None
    return found


def _fill(original: Original, new: DataDirectory, watch: Watch) -> TakenOver:
    keys = original.keys()
    scratch = new.path / "scratch"
    durable.make_directory(scratch)
    activation = parameters_of(original.config).activation
    rows: Counter[str] = Counter()
    with ExitStack() as held:
        with watch.step("checking the databases", None):
            state = held.enter_context(Database.opened(original.state, schema.STATE, scratch))
            local = held.enter_context(Database.opened(original.local, schema.LOCAL, scratch))
        own = open_own_store(new.own, OWN)
        held.callback(own.close)
        stores = Stores(open_store(new.state, STATE), own)
        held.callback(stores.state.close)
        _take(stores, Taker(), state, records.STATE, watch, rows)
        _take(stores, LocalTaker(activation), local, records.LOCAL, watch, rows)
        with watch.step("noting what own identities have signed", None):
            signed = _note_signed(stores, keys.values())
    shutil.rmtree(scratch)
    carried = directory.carry_all(original.path, new.path, list(keys))
    names = {name: node_id.hex() for name, node_id in keys.items()}
    record.write(
        new.record, replace(record.Record.of(original.config), identities=names, stores=tuple(sorted(new.stores)))
    )
    return TakenOver(dict(rows), keys, signed, tuple(carried))


def _take(
    stores: Stores,
    taker: AnyTaker,
    database: Database,
    kinds: Iterable[type[Any]],
    watch: Watch,
    rows: Counter[str],
) -> None:
    kinds = [kind for kind in kinds if kind is not records.TransactionAddress]
    counts = {kind: database.count(kind) for kind in kinds}
    rows.update({TABLE_OF[kind]: count for kind, count in counts.items()})
    with watch.step(f"rows of {database.path.name}", sum(counts.values())) as told:
        before = 0
        try:
            for taken in take_all(stores, taker, _all(database, kinds)):
                told(taken - before)
                before = taken
        except MigrationError as error:
            raise DataError(f"{database.path}: {error} {reading.RESTORE}") from None


def _all(database: Database, kinds: Iterable[type[Any]]) -> Iterator[Any]:
    for kind in kinds:
        yield from database.records(kind)


def _note_signed(stores: Stores, identities: Iterable[NodeId]) -> int:
    with closing(stores.view()) as view:
        rows = Rows(view)
        count = put_signed(rows, identities)
        stores.write(rows, sync=True)
    return count


def _require_empty(ours: Path) -> None:
    if ours.is_dir():
        try:
            content = sorted(path.name for path in ours.iterdir())
        except OSError as error:
            raise EnvironmentFault(f"{ours} cannot be read: {durable.reason(error)}.") from None
        if content:
            raise DataError(
                f"{ours} is not empty ({', '.join(content[:3])}): our data is made anew, never mixed with other data. "
                "Name a directory that is not there."
            )
    elif ours.exists():
        raise DataError(f"{ours} is a file. Name a directory that is not there.")


def _require_room(original: Original, ours: Path) -> None:
    """The databases as ours, and a copy of each that has a log beside it."""
    sizes = {path: reading.size_of(path) for path in (original.state, original.local)}
    copied = sum(size for path, size in sizes.items() if reading.needs_copy(path))
    require_room(ours, int(GROWTH * sum(sizes.values())) + copied)


def require_room(place: Path, needed: int) -> None:
    """Raises EnvironmentFault where the disk of a place has not so many bytes, and some to spare."""
    exists = next(one for one in (place, *place.parents) if one.exists())
    free = shutil.disk_usage(exists).free
    if free < needed + SPARE_BYTES:
        raise EnvironmentFault(
            f"The disk of {exists} has {free >> 20} MiB left, but {needed + SPARE_BYTES >> 20} MiB may be needed. Make "
            "room, or name a directory on another disk."
        )
