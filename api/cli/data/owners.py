"""Whose labels a directory of `smesher init` gets: what is asked for, what its files say, or a new identity."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from api.cli import common
from api.edge.text import quoted, read_file
from prover import durable
from prover.errors import DataError, ProofError, UsageError
from prover.post import identity as identity_file
from prover.post import metadata as metadata_file
from prover.post.directory import Storage
from prover.post.identity import Identity
from prover.post.init.plan import Found

MAX_KEY_FILE = 4096
"""Bytes: a key file has 128 digits, and a line end perhaps; what is longer is another file."""
UNLIMITED = 1 << 64
"""A file number beyond every layout."""


@dataclass(frozen=True, slots=True)
class Job:
    """One directory of a call, with the options that count for it."""

    storage: Storage
    options: argparse.Namespace


def check_distinct(works: Sequence[Job]) -> None:
    """Raises UsageError when two directories of one call would hold the same labels."""
    seen: dict[bytes, list[Job]] = {}
    for job in works:
        node_id = _known_identity(job)
        if node_id is None:
            continue
        for other in seen.setdefault(node_id, []):
            if _overlap(job.options, other.options):
                raise UsageError(
                    f"{other.storage.path} and {job.storage.path} are both to be filled for node {node_id.hex()}: the "
                    "same labels twice. Give each directory an identity of its own (node-id or identity in its entry), "
                    "or files of its own (from-file and to-file) to be merged later."
                )
        seen[node_id].append(job)


def _overlap(one: argparse.Namespace, other: argparse.Namespace) -> bool:
    """Whether two runs have a file number in common."""
    first = max(one.from_file or 0, other.from_file or 0)
    return first <= min(UNLIMITED if each.to_file is None else each.to_file for each in (one, other))


def identity(job: Job, found: Found, in_metadata: bytes | None) -> tuple[bytes, Identity | None]:
    """Whose labels: option, else metadata, else identity.key, else a new identity (returned, not yet written)."""
    options, storage = job.options, job.storage
    key_path = storage.path / identity_file.FILE_NAME
    key = _stored_key(storage)
    node_id = _asked_identity(options) or in_metadata or (key.node_id if key else b"")
    if key is not None and key.node_id != node_id:
        raise UsageError(
            f"{key_path} is the key of node {key.node_id.hex()}, but the labels are to be those of {node_id.hex()} "
            "(--node-id, --identity or the metadata). Move the key file away or use its node id."
        )
    if node_id:
        return node_id, None
    if found.num_labels:
        raise DataError(
            f"{storage.path} holds {found.num_labels} labels but no {metadata_file.FILE_NAME}, so nobody can say whose "
            "they are. Restore that file from a copy. If it is lost, give what the data was made with: --node-id or "
            "--identity, --commitment-atx-id, --num-units and the network; it is proved on the labels."
        )
    for name in identity_file.FORMER_NAMES:
        if durable.kind_of(storage.path / name) is not None:
            raise UsageError(
                f"{storage.path / name} bears a name that identity keys had before. If it is this smesher's key, give "
                f"--identity {quoted(storage.path / name)}; if not, move it away: a new "
                "identity would be made."
            )
    new = identity_file.generate()
    return new.node_id, new


def _stored_key(storage: Storage) -> Identity | None:
    stored = storage.read_small(identity_file.FILE_NAME) if storage.exists() else None
    return None if stored is None else identity_file.decode(stored, str(storage.path / identity_file.FILE_NAME))


def _asked_identity(options: argparse.Namespace) -> bytes | None:
    """The node id that --node-id or --identity name."""
    if options.node_id is not None:
        return common.hex_bytes(options.node_id, "--node-id")
    if options.identity is None:
        return None
    return identity_file.decode(read_file(options.identity, "--identity", MAX_KEY_FILE), str(options.identity)).node_id


def _known_identity(job: Job) -> bytes | None:
    """Whose labels a directory will get, where that is known before; None: a new identity, or it is told later."""
    asked = _asked_identity(job.options)
    if asked is not None or not job.storage.exists():
        return asked
    text = job.storage.read_small(metadata_file.FILE_NAME)
    try:
        if text is not None:
            return metadata_file.decode(text).node_id
        key = _stored_key(job.storage)
        return None if key is None else key.node_id
    except ProofError:
        return None  # what is wrong is said when its turn comes
