"""`smesher migrate to-go`: our data becomes an original's again; and `smesher db export`: its `state.sql` alone.

The databases are made beside their places and get their names last; those that were there go to `backup.<seconds>`, as
the original does with its own. What an identity has signed and the original would not know refuses the way back.
Specified in protocol 09b-node-storage-libp2p, sections 5 and 6.1.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from api.edge.errors import DataError, EnvironmentFault
from api.edge.lock import DirectoryLock
from api.node import record
from api.node.data_directory import DataDirectory
from node.activation.tables import POSTS_BY_EPOCH
from node.assembly.parameters import NodeParameters, parameters_of
from node.checkpoint.ledger import effective_genesis
from node.migration.give import state_records
from node.migration.local import local_records
from node.migration.records import AnyRecord
from node.schema import OWN, STATE
from node.store.level import open_own_store, open_store
from node.store.own import SIGNED, Kind
from node.store.store import Store
from node.store.stores import Stores
from node.store.view import Span, View
from protocol.numbers.durations import SECOND
from protocol.params.config.node import Config
from prover import durable

from . import directory, schema, writing
from .directory import Original
from .shape import Schema
from .take_over import Watch, require_room

ENDINGS = ("", "-wal", "-shm", "-journal")
"""Of the files of one database."""
PARTIAL = ".migrating"
GROWTH = 2.5
"""The databases take less than this times the bytes of our stores."""


@dataclass(frozen=True, slots=True)
class HandedBack:
    """What came of it."""

    rows: dict[str, int]
    """Of each database."""
    backup: Path | None
    """Where the databases are that were there."""
    earliest_ns: int | None
    """Before this time the original is not to be started: it could sign for a layer for which this node has signed;
    None: nothing is signed."""


def hand_back(data: DataDirectory, original: Original, now_ns: int, watch: Watch) -> HandedBack:
    """Makes an original's databases of our data, with genesis, keys and the peer's key where they are missing.

    Raises DataError, EnvironmentFault, StoreFault; what was there stays as it is then.
    """
    with original.held(), ExitStack() as held:
        stores = open_ours(data, held)
        view = held.enter_context(closing(stores.view()))
        parameters = _parameters(view, original.config)
        earliest = _require_known(view, parameters, now_ns)
        require_room(original.path, int(GROWTH * _size_of(data)))
        rows = {}
        try:
            for one, given in _databases(view, parameters):
                beside = original.path / f"{one.file}{PARTIAL}"
                _remove(beside)  # of a run that was killed
                rows[one.file] = _made(beside, one, given, watch)
            keys = [path.name for path in sorted(data.identities.glob("*.key"))] if data.identities.is_dir() else []
            directory.carry_all(data.path, original.path, keys)
            _note(data, original)
            backup = _put_in_place(original, now_ns)
        except OSError as error:
            raise EnvironmentFault(f"{original.path} cannot be written: {durable.reason(error)}.") from None
        finally:
            for one in (schema.STATE, schema.LOCAL):
                _remove(original.path / f"{one.file}{PARTIAL}")
    return HandedBack(rows, backup, earliest)


def _note(data: DataDirectory, original: Original) -> None:
    """From now on no node of ours begins on this data: the original may sign with its keys."""
    kept = record.read(data.record) or record.Record.of(original.config)
    record.write(data.record, replace(kept, handed_to=str(original.path)))


def export(data: DataDirectory, config: Config, file: Path, watch: Watch) -> int:
    """Makes a `state.sql` of our data; how many rows it has. Raises DataError, EnvironmentFault, StoreFault."""
    if file.exists():
        raise DataError(f"{file} exists already. Name a file that is not there.")
    with ExitStack() as held:
        store = open_state(data, held)
        view = held.enter_context(closing(store.view()))
        require_room(file.parent, int(GROWTH * _size_of(data)))
        genesis = _parameters(view, config).time.effective_genesis
        beside = file.with_name(f"{file.name}{PARTIAL}")
        _remove(beside)
        try:
            count = _made(beside, schema.STATE, state_records(view, genesis), watch)
            durable.rename(beside, file)
        except OSError as error:
            raise EnvironmentFault(f"{file} cannot be written: {durable.reason(error)}.") from None
        finally:
            _remove(beside)
    return count


def open_ours(data: DataDirectory, held: ExitStack) -> Stores:
    """Both stores of a node that is stopped. Raises DataError, StoreFault."""
    _hold(data, held)
    own = open_own_store(data.own, OWN)
    held.callback(own.close)
    state = open_store(data.state, STATE)
    held.callback(state.close)
    return Stores(state, own)


def open_state(data: DataDirectory, held: ExitStack) -> Store:
    """The state's store of a node that is stopped. Raises DataError, StoreFault."""
    _hold(data, held)
    state = open_store(data.state, STATE)
    held.callback(state.close)
    return state


def _hold(data: DataDirectory, held: ExitStack) -> None:
    if STATE.name not in data.stores:
        raise DataError(f"{data.path} holds no store {STATE.name}. Name the data directory of a node of ours.")
    lock = DirectoryLock.take(
        data.lock, "smesher migrate", subject=str(data.path), advice="Stop the node that runs there first."
    )
    held.callback(lock.release)


def _parameters(view: View, config: Config) -> NodeParameters:
    return parameters_of(config, effective_genesis(view))


def _databases(view: View, parameters: NodeParameters) -> list[tuple[Schema, Iterable[AnyRecord]]]:
    genesis = parameters.time.effective_genesis
    return [(schema.STATE, state_records(view, genesis)), (schema.LOCAL, local_records(view))]


def _made(path: Path, one: Schema, given: Iterable[AnyRecord], watch: Watch) -> int:
    with watch.step(f"rows of {one.file}", None) as told:
        return writing.write(path, one, given, told)


def _require_known(view: View, parameters: NodeParameters, now_ns: int) -> int | None:
    """That the original will know every activation that may still matter; from when on it may sign.

    Raises DataError where an activation was signed that is not among the rows yet.
    """
    time = parameters.time
    current = time.epoch_of(time.layer_at(now_ns))
    last = None
    for slot in view.keys(SIGNED):
        if slot.kind is Kind.ATX and slot.number >= current:
            known = view.find(POSTS_BY_EPOCH, Span(within=(slot.identity, slot.number)))
            if next(known, None) is None:
                raise DataError(
                    f"The identity {slot.identity.hex()} has signed an activation for epoch {slot.number} that is not "
                    "stored as published yet. The original would sign another one, which cancels the identity. Start "
                    "this node until it is published, then try again."
                )
        if slot.kind in (Kind.BALLOT, Kind.PROPOSAL, Kind.CERTIFY, Kind.HARE):
            last = max(last or 0, slot.number)
    return None if last is None else time.start_ns(last + 1)


def _put_in_place(original: Original, now_ns: int) -> Path | None:
    """The new databases get their names; where those are now that were there.

    At no instant one is missing: the original would silently begin a new one, and sign again.
    """
    databases = [original.path / one.file for one in (schema.STATE, schema.LOCAL)]
    backup = None
    if any(path.exists() for path in databases):
        backup = original.path / f"backup.{now_ns // SECOND}"
        while backup.exists():  # of a run that was killed
            backup = backup.with_name(f"{backup.name}+")
        durable.make_directory(backup)
    for path in databases:
        if backup is not None and path.exists():
            os.link(path, backup / path.name)
        for ending in ENDINGS[1:]:
            beside = path.with_name(path.name + ending)
            if backup is not None and beside.exists():
                durable.rename(beside, backup / beside.name)
        durable.rename(path.with_name(path.name + PARTIAL), path)
    return backup


def _size_of(data: DataDirectory) -> int:
    return sum(path.stat().st_size for store in (data.state, data.own) if store.is_dir() for path in store.iterdir())


def _remove(path: Path) -> None:
    for ending in ENDINGS:
        path.with_name(path.name + ending).unlink(missing_ok=True)
