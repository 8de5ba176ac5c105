"""What is checked before a node runs, in the order of the reference, and what it comes to: `Prepared`.

No store is opened here, but to begin from a checkpoint, and no port: what is refused is refused soon, by name. Protocol
09b-node-storage-libp2p, section 6.3.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from api.config.own import LOOPBACK
from api.edge.errors import DataError
from api.edge.lock import DirectoryLock
from api.edge.node_log import NodeLog
from node.assembly.parameters import NodeParameters, parameters_of
from node.p2p.wire.key_file import PeerKey
from protocol.params.config.derived import started
from protocol.params.config.node import Config
from protocol.params.genesis import Genesis
from prover import durable

from . import checks, data_directory, genesis_file, identities, peer_key, record
from .data_directory import DataDirectory
from .identities import Identities, Mode


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that a node is made of before its stores are opened."""

    config: Config
    """With the values that follow from others, a genesis time, and absolute paths."""
    parameters: NodeParameters
    """As without a checkpoint: where the state store says that one was recovered from, they are made again with it."""
    data: DataDirectory
    genesis: Genesis
    identities: Identities
    peer: PeerKey
    """By which other nodes know this one."""
    warnings: tuple[str, ...]
    """Each says what is so, what it means and what to do. They are yet to be told."""
    log: NodeLog | None = None
    """The log of the process, for who shows its tail, changes levels, or hears of errors."""
    metrics_host: str = LOOPBACK
    """On which address the metrics are told, where they are."""


@contextmanager
def prepared(
    config: Config,
    *,
    now_ns: int,
    mode: Mode | None = None,
    warnings: Sequence[str] = (),
    log: NodeLog | None = None,
) -> Iterator[Prepared]:
    """The node of a configuration, checked; its locks are held until the context ends.

    now_ns: by the clock of the system; mode: as it is configured; warnings: of those who read the configuration.
    Raises UsageError and Contradiction for what is configured, DataError for what the data directory holds or who holds
    it, EnvironmentFault.
    """
    checks.require(genesis_file.timed(config, None, now_ns))  # before anything is touched
    with ExitStack() as held:
        data, told = data_directory.use(config.main.data_folder)
        lock_file = data_directory.absolute(config.main.filelock)
        _take(held, lock_file, f"The lock file {lock_file}", "main.filelock")
        if os.path.realpath(lock_file) != os.path.realpath(data.lock):
            _take(held, data.lock, str(data.path), "main.data-folder")
        kept, found = record.read(data.record), genesis_file.read(data.genesis)
        if kept is not None:
            kept.check_ours(data.record)
        told += data_directory.check_stores(data, kept.stores if kept else ())
        if kept is None and data.stores:
            told.append(
                f"{data.record} is missing and is written again: whether layers, keys and stores are still those "
                "that this data was made with was not compared at this start."
            )
        config = genesis_file.timed(config, found, now_ns)
        config = started(_absolute(config, data.path, lock_file))
        parameters = parameters_of(config)
        genesis_file.keep(data.genesis, found, config.genesis.identity, data.stores)
        new = record.Record.of(config)
        if kept is not None:
            kept.check_layers(new, data.record)
        own = identities.load(
            data.identities,
            config.genesis.identity.genesis_id,
            kept.identities if kept else {},
            is_used=bool(data.stores),
            config=config,
            mode=mode,
        )
        peer, is_new = peer_key.load_or_make(data.peer)
        if is_new and data.state.is_dir():
            told.append(
                f"{data.peer / peer_key.FILE_NAME} was missing: this node is {peer.text} to its peers from now on. "
                "Whoever has its former address in a configuration has to change it."
            )
        if data.restored.is_dir() and not data.state.is_dir() and not config.recovery.uri:
            raise DataError(
                f"{data.restored} is there, and no {data.state}: a recovery from a checkpoint was cut off before its "
                "last step. Start once more with recovery.recovery-uri and recovery-layer as they were."
            )
        if config.recovery.uri:
            from .recovering import recover  # an HTTP client and all rooms, which other starts need not wait for

            told += recover(config, data, [one.node_id for one in own.all], now_ns)
        known = set(data.stores) | set(kept.stores if kept else ())
        record.write(data.record, replace(new, identities=own.names, stores=tuple(sorted(known))))
        yield Prepared(
            config,
            parameters,
            data,
            config.genesis.identity,
            own,
            peer,
            (*warnings, *told, *own.warnings),
            log,
        )


def _absolute(config: Config, data: Path, lock_file: Path) -> Config:
    opts = config.smeshing.opts
    labels = str(data_directory.absolute(opts.datadir))
    return replace(
        config,
        main=replace(config.main, data_folder=str(data), filelock=str(lock_file)),
        smeshing=replace(config.smeshing, opts=replace(opts, datadir=labels)),
    )


def _take(held: ExitStack, path: Path, subject: str, setting: str) -> None:
    with durable.explained(path.parent, "make"):
        durable.make_directory(path.parent)
    lock = DirectoryLock.take(
        path,
        "smesher node",
        subject=subject,
        advice=f"One node runs there at a time: stop it first, or choose another place with {setting}.",
    )
    held.callback(lock.release)


def note_stores(prepared: Prepared) -> None:
    """Notes that the stores are there from now on, once they were opened. Raises EnvironmentFault, DataError."""
    kept = record.read(prepared.data.record)
    if kept is not None:
        record.write(prepared.data.record, replace(kept, stores=prepared.data.stores))
