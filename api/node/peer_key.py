"""The key by which peers know a node, in its file `p2p/p2p.key`. Protocol 09b-node-storage-libp2p, section 6.1."""

from __future__ import annotations

from pathlib import Path

from api.edge.errors import DataError, EnvironmentFault
from api.edge.text import read_text
from node.p2p.wire import key_file
from node.p2p.wire.errors import WireError
from node.p2p.wire.key_file import PeerKey
from prover import durable

FILE_NAME = "p2p.key"


def load_or_make(folder: Path) -> tuple[PeerKey, bool]:
    """The key of a folder, and whether it was made now. Raises DataError for a damaged one, EnvironmentFault."""
    path = folder / FILE_NAME
    if path.exists():
        return read(path), False
    made = key_file.new()
    try:
        durable.make_directory(folder)
        durable.create(path, made.to_file().encode())
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be written: {durable.reason(error)}.") from None
    return made, True


def read(path: Path) -> PeerKey:
    """The key in a file. Raises DataError, which never shows what it holds, EnvironmentFault."""
    try:
        return key_file.from_file(read_text(path, "The key file"))
    except WireError as error:
        raise DataError(
            f"{path} is damaged: {error} Restore it from a copy; or delete it, and a new one is made: peers know the "
            "node by another id then, its identities stay what they are."
        ) from None
