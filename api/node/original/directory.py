"""The data directory of an original node: what lies where, which network it is of, and who may use it.

Specified in protocol 09b-node-storage-libp2p, section 6.1.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from api.config.load import read as read_config
from api.edge.errors import DataError, EnvironmentFault, UsageError
from api.edge.lock import DirectoryLock
from api.edge.text import read_file, read_text
from api.node import genesis_file
from api.node.data_directory import absolute
from api.node.identities import ENDING, MOST_BYTES
from protocol.crypto.signing import InvalidIdentity, read_identity
from protocol.params.config import networks
from protocol.params.config.derived import started
from protocol.params.config.node import Config
from protocol.params.genesis import FILE_NAME
from protocol.types.ids import NodeId
from prover import durable

from .in_use import holder_of
from .schema import LOCAL, STATE

IDENTITIES, PEER = "identities", "p2p"
CARRIED_PEER_FILES = ("p2p.key", "connected.txt")
"""Of `p2p`: the key by which peers know the node, and whom it knew."""
SECRET_MODE, PUBLIC_MODE = 0o600, 0o644
MOST_CONFIG_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Original:
    """A data directory of the original, and the configuration of its network."""

    path: Path
    config: Config
    """With the genesis of the data, where a standalone network has none configured."""
    config_file: Path | None
    lock_file: Path
    """`main.filelock`: held while an original runs."""

    @property
    def state(self) -> Path:
        """The database of what the network agreed on."""
        return self.path / STATE.file

    @property
    def local(self) -> Path:
        """The database of what only this node has."""
        return self.path / LOCAL.file

    @property
    def genesis_id(self) -> bytes:
        """Of the network."""
        return self.config.genesis.identity.genesis_id

    def keys(self) -> dict[str, NodeId]:
        """Names of key files with their node ids. Raises DataError for one that cannot be used, EnvironmentFault."""
        folder = self.path / IDENTITIES
        found: dict[str, NodeId] = {}
        try:
            paths = sorted(folder.iterdir()) if folder.is_dir() else []
        except OSError as error:
            raise EnvironmentFault(f"{folder} cannot be read: {durable.reason(error)}.") from None
        for path in paths:
            if path.name.endswith(ENDING) and not path.is_dir():
                try:
                    signer = read_identity(read_file(path, "The key file", MOST_BYTES), self.genesis_id)
                except InvalidIdentity as error:
                    raise DataError(f"The key file {path} cannot be used. {error}") from None
                found[path.name] = NodeId(signer.public_key)
        return found

    @contextmanager
    def held(self) -> Iterator[None]:
        """While no original runs. Raises DataError that says who holds the lock or the databases, EnvironmentFault."""
        try:
            durable.make_directory(self.lock_file.parent)
        except OSError as error:
            raise EnvironmentFault(f"{self.lock_file.parent} cannot be made: {durable.reason(error)}.") from None
        lock = DirectoryLock.take(
            self.lock_file,
            "smesher migrate",
            subject=f"The lock file {self.lock_file} of the original node",
            advice="Stop that node first. If it is one of another directory, name this one's lock with --filelock.",
        )
        try:
            self._require_unused()
            yield
        finally:
            lock.release()

    def _require_unused(self) -> None:
        """Raises DataError where a node runs that holds another lock file."""
        for path in (self.state, self.local):
            try:
                process = holder_of(path)
            except OSError as error:
                raise EnvironmentFault(f"{path} cannot be looked at: {durable.reason(error)}.") from None
            if process is not None:
                raise DataError(f"{path} is open in process {process}. Stop the node, or whatever it is, first.")


def find(source: Path, config_file: Path | None = None, filelock: str | None = None) -> Original:
    """The original of a data directory, or of a configuration file that names one.

    config_file: with a directory, the configuration of its network; without one, that of the public network whose
    genesis the directory has. Raises UsageError, DataError, EnvironmentFault.
    """
    if source.is_file():
        if config_file is not None:
            raise UsageError(
                f"{source} is a file, so --config {config_file} is one too many: name a directory, or one."
            )
        config_file = source
    elif not source.is_dir():
        raise UsageError(f"{source} is neither a data directory nor a configuration file: it is not there.")
    config = None if config_file is None else configured(config_file)
    path = source if source.is_dir() else absolute(config.main.data_folder) if config is not None else source
    if not path.is_dir():
        raise UsageError(f"{config_file}: main.data-folder is {path}, which is no directory.")
    config = with_genesis(config, path)
    lock_file = absolute(config.main.filelock if filelock is None else filelock)
    return Original(absolute(str(path)), config, config_file, lock_file)


def to_be(path: Path, ours: Path, config_file: Path | None = None, filelock: str | None = None) -> Original:
    """The original that is to be made of our data in a directory. Raises UsageError, DataError, EnvironmentFault."""
    config = with_genesis(None if config_file is None else configured(config_file), ours)
    if (path / FILE_NAME).exists():
        with_genesis(config, path)
    try:
        durable.make_directory(path)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{path} is, or lies below, a file: expected a directory.") from None
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be made: {durable.reason(error)}.") from None
    lock_file = absolute(config.main.filelock if filelock is None else filelock)
    return Original(absolute(str(path)), config, config_file, lock_file)


def with_genesis(config: Config | None, path: Path) -> Config:
    """The configuration of a directory's network, compared with its genesis.json. Raises DataError, UsageError."""
    place = path / FILE_NAME
    found = genesis_file.read(place)
    if found is None:
        raise DataError(
            f"{place} is not there: which network this data belongs to is not known for sure. It is the same on all "
            "nodes of a network, so that of another one will do."
        )
    if config is None:
        same = (one for one in networks.BY_NAME.values() if one.genesis.identity.genesis_id == found.genesis_id)
        config = next(same, None)
        if config is None:
            raise UsageError(
                f"{place} is that of a network which this program does not know, with the extra data "
                f"{found.extra_data[:60]!r}. Name the configuration file of its nodes with --config."
            )
    config = genesis_file.timed(config, found, time.time_ns())
    genesis_file.keep(place, found, config.genesis.identity, ())
    return started(config)


def configured(file: Path) -> Config:
    """The configuration in a file. Raises ConfigError and what reading a file raises."""
    return read_config(read_text(file, "The configuration file", MOST_CONFIG_BYTES)).config


def carry(source: Path, target: Path, mode: int, most: int) -> bool:
    """Copies a small file where it is not there yet; whether there is one. Raises DataError where another one is there,
    EnvironmentFault."""
    if not source.is_file():
        return False
    data = read_file(source, "The file", most)
    if target.exists():
        if read_file(target, "The file", most) != data:
            raise DataError(f"{target} is there and differs from {source}. Move it away, if that one is to be used.")
        return True
    try:
        durable.make_directory(target.parent)
        durable.create(target, data, mode)
    except OSError as error:
        raise EnvironmentFault(f"{target} cannot be written: {durable.reason(error)}.") from None
    return True


def carry_all(source: Path, target: Path, keys: Iterable[str]) -> list[str]:
    """Copies genesis, where there is none, keys and what peers know; names of what was copied. Raises as `carry`."""
    wanted = [] if (target / FILE_NAME).exists() else [(FILE_NAME, PUBLIC_MODE)]
    wanted += [(f"{IDENTITIES}/{name}", SECRET_MODE) for name in keys]
    wanted += [(f"{PEER}/{name}", SECRET_MODE) for name in CARRIED_PEER_FILES]
    most = genesis_file.MOST_BYTES
    return [name for name, mode in wanted if carry(source / name, target / name, mode, most)]
