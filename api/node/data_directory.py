"""The data directory of a node: what lies where, and whether it can be used at all.

The layout is the reference's, with our stores in place of its databases. Protocol 09b-node-storage-libp2p, section 6.1.
"""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from api.edge.errors import DataError, EnvironmentFault, UsageError
from node.schema import OWN, STATE
from node.store.marker import marker_of
from protocol.params.genesis import FILE_NAME
from prover import durable

LEAST_ROOM = 64 << 20
"""Bytes without which a node is not started: it would stop at its first layers."""
LITTLE_ROOM = 2 << 30
"""Bytes below which the operator is told."""

FOREIGN = ("state.sql", "local.sql", "node_state.sql")
"""Databases of the original node, in releases of now and before."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """Where everything of one node lies."""

    path: Path
    """Absolute."""

    @property
    def state(self) -> Path:
        """The store of what the network agreed on."""
        return self.path / STATE.name

    @property
    def restored(self) -> Path:
        """A state that is made of a checkpoint, until it is in place."""
        return self.path / f"{STATE.name}.restored"

    @property
    def own(self) -> Path:
        """The store of what identities of ours have signed and are working on. Never to be lost."""
        return self.path / OWN.name

    @property
    def genesis(self) -> Path:
        """Which network this is the data of."""
        return self.path / FILE_NAME

    @property
    def record(self) -> Path:
        """What else this program knows of the data (`record`)."""
        return self.path / "node.json"

    @property
    def lock(self) -> Path:
        """Held while a node runs here, whatever `filelock` says."""
        return self.path / "node.lock"

    @property
    def identities(self) -> Path:
        """A key file of each identity."""
        return self.path / "identities"

    @property
    def peer(self) -> Path:
        """The key by which peers know this node, and what it knows of them."""
        return self.path / "p2p"

    @property
    def bootstrap(self) -> Path:
        """Beacons and active sets that were published as files."""
        return self.path / "bootstrap"

    @property
    def checkpoint(self) -> Path:
        """Checkpoints that were made here."""
        return self.path / "checkpoint"

    @property
    def recovery(self) -> Path:
        """The checkpoint that this node began with."""
        return self.path / "recovery"

    @property
    def poet(self) -> Path:
        """The PoET of a standalone network."""
        return self.path / "poet"

    @property
    def stores(self) -> tuple[str, ...]:
        """Names of the stores that are here."""
        return tuple(one.name for one in (self.own, self.state) if one.is_dir())


def use(folder: str) -> tuple[DataDirectory, list[str]]:
    """The directory of a setting, made (0700) where it is not there, and what the operator should know of it.

    Raises UsageError where it is no directory, EnvironmentFault where it cannot be made or written, or has no room.
    """
    path = absolute(folder)
    try:
        durable.make_directory(path)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"main.data-folder is {path}, of which a part is a file, expected a directory.") from None
    except OSError as error:
        raise EnvironmentFault(f"main.data-folder {path} cannot be made: {durable.reason(error)}.") from None
    warnings = []
    _check_writable(path)
    free = shutil.disk_usage(path).free
    if free < LEAST_ROOM:
        raise EnvironmentFault(
            f"The disk of {path} has {free >> 20} MiB left, expected at least {LEAST_ROOM >> 20}. Make room, or move "
            "the directory and set main.data-folder to where it is."
        )
    if free < LITTLE_ROOM:
        warnings.append(
            f"The disk of {path} has only {free >> 20} MiB left. When it is full, the node takes no new data until "
            "there is room again: make some now."
        )
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o022:
        warnings.append(
            f"{path} may be written by other users (mode {mode:o}): they could put keys and data of theirs into it. "
            f"Close it with: chmod go-w {path}"
        )
    return DataDirectory(path), warnings


def absolute(text: str) -> Path:
    """The path of a setting, `~` and what is relative resolved."""
    return Path(os.path.abspath(os.path.expanduser(text)))


def _check_writable(path: Path) -> None:
    probe = path / ".writable"
    try:
        os.close(durable.open_new(probe))
        os.unlink(probe)
    except OSError as error:
        raise EnvironmentFault(f"main.data-folder {path} cannot be written: {durable.reason(error)}.") from None


# -- stores that are there, or should be ---------------------------------------------------------------------------


def check_stores(data: DataDirectory, known: tuple[str, ...]) -> list[str]:
    """Whether the stores that this data had are still there; what the operator should know.

    known: stores that an earlier start found here. Raises DataError, which says what to do.
    """
    _check_foreign(data)
    warnings = []
    for store in (data.own, data.state):
        is_own = store == data.own
        marker = marker_of(store)
        was_here = store.name in known or (marker.is_file() and marker.stat().st_size > 0)
        if store.is_dir() or not was_here:
            continue
        if is_own:
            raise DataError(
                f"{store} is missing: it holds what the identities of this node have signed, and without it they could "
                "contradict themselves, which cancels them for ever. Put it back, or the copy that `smesher db backup` "
                f"made. If there is none, move the keys of {data.identities} away before you delete {data.record}, "
                f"{marker} and {data.state} to begin anew without them."
            )
        if marker.exists():
            raise DataError(
                f"{store} is missing, although {marker.name} says that it was there. Put it back; or, to begin with an "
                f"empty one that is synced from peers, delete {marker} too. {data.own.name} is to stay."
            )
        warnings.append(
            f"{store} was deleted together with {marker.name}: it is begun anew and synced from peers, which can take "
            "days. Until then this node signs nothing and its API shows an old state."
        )
    if data.state.is_dir() and not data.own.is_dir():
        raise DataError(
            f"{data.state} is there, but not {data.own}, which holds what the identities of this node have signed. The "
            "two belong together: put it back, or restore both from copies of the same moment."
        )
    return warnings


def _check_foreign(data: DataDirectory) -> None:
    """Databases of the original node beside none of ours, or changed after ours. Raises DataError."""
    found = [path for name in FOREIGN if (path := data.path / name).is_file()]
    if not found:
        return
    if not data.own.is_dir():
        raise DataError(
            f"{data.path} is the data directory of an original node ({found[0].name} is there). Move it over first: "
            f"smesher migrate from-go {data.path} (it stays as it is). Begun anew, its identities could sign twice."
        )
    ours = max(_changed(one) for one in (data.own, *data.own.iterdir()))
    theirs = max(_changed(path) for one in found for path in data.path.glob(f"{one.name}*"))
    if theirs > ours:
        raise DataError(
            f"{found[0]} was written after {data.own}: an original node may have run here since, and what it signed is "
            "not known here. Move its data over again with smesher migrate from-go; or, if it has not run, delete its "
            "databases."
        )


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns
