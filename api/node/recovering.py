"""A new state from a checkpoint, before a node runs: downloaded, judged, made beside the old one, and put in its place.

The old state goes to a backup. A kill at any instant leaves the old one or the new one, or the next start ends what was
begun. What differs from the reference: the restored layer is remembered without the setting, own activations that the
checkpoint lacks are kept as they were judged, and a file is judged strictly. Protocol 09b-node-storage-libp2p,
section 3.2.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from api.edge.errors import DataError
from api.http.client import ClientLimits, Unreachable, fetch
from node.assembly.restoring import keep_own, restore
from node.checkpoint.files import Checkpoint, CheckpointError, parse
from node.checkpoint.tables import RESTORED
from node.schema import OWN, STATE
from node.store.keys import ONLY
from node.store.level import open_own_store, open_store
from node.store.marker import marker_of
from node.store.store import Store
from node.store.stores import Stores
from node.store.view import Rows
from protocol.params.config.node import Config
from protocol.types.ids import AtxId, LayerId, NodeId
from prover import durable

from .data_directory import DataDirectory

MOST_BYTES = 2 << 30
"""Of a checkpoint; a million activations have 600 MB."""
LIMITS = ClientLimits(total_s=3600.0, answer_bytes=MOST_BYTES)


def recover(config: Config, data: DataDirectory, identities: Sequence[NodeId], now_ns: int) -> list[str]:
    """Begins from the checkpoint that is configured, unless that was done; what the operator should know.

    identities: those whose activations are kept. Raises DataError for a file that is no checkpoint, EnvironmentFault,
    StoreFault.
    """
    of, layer = config.recovery, LayerId(config.recovery.layer)
    new = data.restored
    if not data.state.is_dir() and _restored(new) == layer:  # cut off when the old one was away already
        _put_in_place(data, new, data.path / f"backup.{now_ns // 10**9}")
        return [_done(layer, None)]
    _remove(new)
    if (before := _restored(data.state)) is not None and before >= layer:
        return []
    shutil.rmtree(data.bootstrap, ignore_errors=True)
    folder = _empty_folder(data.recovery, now_ns)
    try:
        answer = fetch("GET", of.uri, limits=LIMITS)
        why = "" if answer.status == 200 else f"it answered {answer.reason}"
    except Unreachable as error:
        why = str(error)
    if why:
        return [
            f"No checkpoint came from recovery.recovery-uri, {of.uri}: {why}. The node goes on with the state that "
            "it has. If it was to begin from the checkpoint, stop it now and start it again when the file can be had."
        ]
    file = folder / f"{Path(urlsplit(of.uri).path).name or 'checkpoint'}-restore-{layer}"
    with durable.explained(file, "write"):
        durable.replace(file, answer.body)
    checkpoint = _judged(answer.body, file)
    del answer
    backup = data.path / f"backup.{now_ns // 10**9}"
    without = _make(config, data, checkpoint, layer, new, identities)
    _put_in_place(data, new, backup)
    with durable.explained(folder, "write"):
        durable.rename(folder, _aside(data.recovery, now_ns))
    return [_done(layer, backup), *map(_lost, without)]


def _judged(body: bytes, file: Path) -> Checkpoint:
    try:
        return parse(body)
    except CheckpointError as error:
        raise DataError(f"{error} The file is kept as {file}; nothing was changed.") from None


def _make(
    config: Config, data: DataDirectory, checkpoint: Checkpoint, layer: LayerId, new: Path, identities: Sequence[NodeId]
) -> Sequence[NodeId]:
    """The new state; the identities that could take nothing along. Raises CheckpointError, StoreFault."""
    golden = AtxId(config.genesis.identity.golden_atx)
    without: Sequence[NodeId] = ()
    with closing(open_store(new, STATE)) as store:
        rows = Rows(store.view())
        try:
            restore(rows, checkpoint, layer)
        except CheckpointError as error:
            raise DataError(str(error)) from None
        if config.recovery.preserve_own_atx and data.state.is_dir() and data.own.is_dir():
            stores = Stores(open_store(data.state, STATE), open_own_store(data.own, OWN))
            with closing(stores), closing(stores.view()) as before:
                without = keep_own(rows, before, identities, golden).without
        store.write(rows, sync=True)
    if not data.own.is_dir():  # a state without it would be refused, should the node end before it makes one
        open_own_store(data.own, OWN).close()
    return without


def _restored(path: Path) -> LayerId | None:
    """The layer that a state has begun from; None where it began from the genesis or is not there."""
    if not path.is_dir():
        return None
    store: Store
    with closing(open_store(path, STATE)) as store:
        return store.view().get(RESTORED, ONLY)


def _put_in_place(data: DataDirectory, new: Path, backup: Path) -> None:
    """The old state into the backup, the new one into its place. The marker of the old one goes first: without it, a
    state that is missing is one that was taken away on purpose."""
    with durable.explained(backup, "write"):
        durable.make_directory(backup)
        for path in (marker_of(data.state), data.state):
            if path.exists():
                durable.rename(path, backup / path.name)
        durable.rename(new, data.state)
        durable.rename(marker_of(new), marker_of(data.state))


def _remove(store: Path) -> None:
    with durable.explained(store, "write"):
        if store.is_dir():
            shutil.rmtree(store)
        marker_of(store).unlink(missing_ok=True)


def _empty_folder(path: Path, now_ns: int) -> Path:
    with durable.explained(path, "write"):
        if path.exists():
            durable.rename(path, _aside(path, now_ns))
        durable.make_directory(path)
    return path


def _aside(path: Path, now_ns: int) -> Path:
    number = now_ns
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return aside


def _done(layer: LayerId, backup: Path | None) -> str:
    where = (
        f" The state before it is in {backup}; delete it once this node is in step with the network." if backup else ""
    )
    return (
        f"The state was begun anew from a checkpoint: layer {layer} is the next one. Only nodes that began from the "
        f"same one can be connected to.{where}"
    )


def _lost(identity: NodeId) -> str:
    return (
        f"The activations of identity {identity.hex()} could not be taken along: something that they stand on is not "
        "here any more. It goes on from what the checkpoint has of it; if that is nothing, it begins with a first "
        "activation."
    )
