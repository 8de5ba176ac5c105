"""The identities of a node: the key files of its data directory, and how they smesh.

Which of them count, and which contents are refused, is the reference's rule; that a key which was there before is
missed, and how it smeshes is said rather than guessed, is ours. Protocol 09b-node-storage-libp2p, section 6.1.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from api.edge.errors import DataError, UsageError
from api.edge.text import read_file
from protocol.crypto.signing import IDENTITY_FILE_MODE, InvalidIdentity, Signer, read_identity
from protocol.params.config.node import Config
from protocol.types.ids import NodeId
from prover import durable
from prover.post import identity

SUPERVISED_NAME = "local.key"
ENDING = ".key"
MOST_BYTES = 4096


class Mode(StrEnum):
    """Who makes the proofs of space."""

    SUPERVISED = "supervised"
    """The node itself, for its one identity: it starts a PoST service, and smeshing is begun and ended by its API."""
    REMOTE = "remote"
    """PoST services that connect to the node, one for each identity."""


@dataclass(frozen=True, slots=True)
class OwnIdentity:
    """An identity of this node."""

    name: str
    """Of its file."""
    node_id: NodeId
    signer: Signer = field(repr=False)
    """Signs with the genesis id before every message."""


@dataclass(frozen=True, slots=True)
class Identities:
    """All of them, and how they smesh."""

    all: tuple[OwnIdentity, ...]
    """By the names of their files; at least one."""
    mode: Mode
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """Name of the file to node id in hex."""
        return {one.name: one.node_id.hex() for one in self.all}


def load(
    folder: Path,
    genesis_id: bytes,
    known: Mapping[str, str],
    *,
    is_used: bool,
    config: Config,
    mode: Mode | None = None,
) -> Identities:
    """The identities of a folder; a first one is made where there never was any.

    known: name of a key file to node id, as an earlier start found them; is_used: whether stores are here; mode: as
    it is configured, None: as the reference tells it. Raises DataError, UsageError, EnvironmentFault, which name the
    file.
    """
    with durable.explained(folder, "make"):
        durable.make_directory(folder)
    paths = key_files(folder)
    if not paths and (known or is_used):
        raise _lost(folder, known)
    warnings = []
    if not paths:
        paths = [_make(folder / SUPERVISED_NAME)]
        warnings.append(
            f"A new identity was made: {paths[0]}. Whoever has this file can smesh as this identity, and nobody can "
            "without it: keep a copy where nobody else reads it."
        )
    found = [_read(path, genesis_id) for path in paths]
    _check_distinct(found, folder)
    warnings += [text for path in paths if (text := _open_to_others(path))]
    warnings += _missing(found, known, folder)
    return Identities(tuple(found), _mode(found, config, mode), tuple(warnings))


def key_files(folder: Path) -> list[Path]:
    """The files that hold identities, by their names."""
    return sorted(path for path in folder.iterdir() if path.name.endswith(ENDING) and not path.is_dir())


def read_all(folder: Path, genesis_id: bytes) -> list[OwnIdentity]:
    """The identities of a folder, none where it is not there. Raises DataError, EnvironmentFault."""
    return [_read(path, genesis_id) for path in key_files(folder)] if folder.is_dir() else []


def _make(path: Path) -> Path:
    with durable.explained(path, "write"):
        durable.create(path, identity.generate().encode(), IDENTITY_FILE_MODE)
    return path


def _read(path: Path, genesis_id: bytes) -> OwnIdentity:
    content = read_file(path, "The key file", MOST_BYTES)
    try:
        signer = read_identity(content, genesis_id)
    except InvalidIdentity as error:
        raise DataError(f"The key file {path} cannot be used. {error}{_hint(content)}") from None
    return OwnIdentity(path.name, NodeId(signer.public_key), signer)


def _hint(content: bytes) -> str:
    """What is wrong where it can be told."""
    if not content:
        return " The file is empty: restore it from a copy."
    if content != content.strip() and len(content.strip()) == 2 * identity.KEY_SIZE:
        return " Take the blanks and line ends away that an editor has put there."
    return ""


def _check_distinct(found: list[OwnIdentity], folder: Path) -> None:
    by_id: dict[NodeId, str] = {}
    for one in found:
        if one.node_id in by_id:
            raise DataError(
                f"{by_id[one.node_id]} and {one.name} in {folder} hold the same key, {one.node_id.hex()}. Take one "
                "of them away: one identity smeshes once."
            )
        by_id[one.node_id] = one.name
    if len(found) > 1 and SUPERVISED_NAME in by_id.values():
        raise DataError(
            f"{folder} holds {len(found)} keys, and one of them is called {SUPERVISED_NAME}: that is the name of the "
            "only identity of a node which smeshes itself. Give the file another name, for smeshing with PoST "
            "services that connect to the node; or move the other keys away."
        )


def _lost(folder: Path, known: Mapping[str, str]) -> DataError:
    who = "; ".join(f"{name} with node id {node_id}" for name, node_id in sorted(known.items()))
    return DataError(
        f"{folder} holds no key any more, but this node had {who or 'one'}. Put the key back from a copy: no new one "
        "is made in its place, since labels and rewards belong to the old one. If it is to be another identity from "
        f"now on, make its key: smesher identity new {folder / SUPERVISED_NAME}"
    )


def _missing(found: list[OwnIdentity], known: Mapping[str, str], folder: Path) -> list[str]:
    here = {one.node_id.hex() for one in found}
    return [
        f"The identity {node_id} ({name}) was in {folder} at the last start and is not now: it smeshes here no more. "
        "If that is not meant, put its key back; if it smeshes elsewhere now, leave it there."
        for name, node_id in sorted(known.items())
        if node_id not in here
    ]


def _open_to_others(path: Path) -> str:
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & 0o077:
        return ""
    return f"{path} can be read by other users (mode {mode:o}), who could smesh as you. Close it: chmod 600 {path}"


def _mode(found: list[OwnIdentity], config: Config, asked: Mode | None) -> Mode:
    """How the identities smesh. Not configured, it is what the reference makes of the names of the files."""
    is_supervised = [one.name for one in found] == [SUPERVISED_NAME]
    mode = asked or (Mode.SUPERVISED if is_supervised or config.smeshing.start else Mode.REMOTE)
    if mode is Mode.SUPERVISED and len(found) > 1:
        why = "smeshing.smeshing-start is true" if asked is None else "smeshing-mode is supervised"
        raise UsageError(
            f"{why}, but there are {len(found)} identities ({', '.join(one.name for one in found)}): the node itself "
            "smeshes for one. Set smeshing-start to false and let a PoST service connect for each of them."
        )
    if mode is Mode.REMOTE and config.smeshing.start:
        raise UsageError(
            "smeshing-mode is remote, but smeshing.smeshing-start is true, which starts a PoST service of this "
            "node's own. Set one of them otherwise."
        )
    return mode
