"""Parts of a split initialisation for the tests of merging, small ones with a quick label function."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from protocol.post.rules import commitment
from prover.post import metadata, record
from prover.post.directory import Storage
from prover.post.merge.run import Merge, Outcome
from prover.post.merge.types import Mode
from prover.post.metadata import PostMetadata
from prover.post.record import Record

PER_FILE = 8
NUM_FILES = 5
LAST = 3
"""Labels of the last file."""

META = PostMetadata(
    node_id=bytes(range(32)),
    commitment_atx_id=bytes(range(32, 64)),
    labels_per_unit=PER_FILE * (NUM_FILES - 1) + LAST,
    num_units=1,
    max_file_size=PER_FILE * 16,
)
KEY = commitment(META.node_id, META.commitment_atx_id)
IDENTITY = b"ab" * 64


def label32(key: bytes, index: int, n: int) -> bytes:
    """Stands in for scrypt: quick, and another one for every N."""
    return hashlib.sha256(key + index.to_bytes(8, "little") + n.to_bytes(4, "little")).digest()


def content(number: int, labels: int | None = None) -> bytes:
    """The right content of a data file, or its first labels."""
    size = (PER_FILE if number < NUM_FILES - 1 else LAST) if labels is None else labels
    return b"".join(label32(KEY, number * PER_FILE + at, 2)[:16] for at in range(size))


def part(
    path: Path, files: Mapping[int, bytes], meta: PostMetadata | None = META, n: int | None = 2, identity: bytes = b""
) -> Path:
    """A data directory."""
    path.mkdir(parents=True, exist_ok=True)
    for number, data in files.items():
        (path / f"postdata_{number}.bin").write_bytes(data)
    if meta is not None:
        (path / metadata.FILE_NAME).write_text(metadata.encode(meta))
    if n is not None:
        (path / record.FILE_NAME).write_text(record.encode(Record(n)))
    if identity:
        (path / "identity.key").write_bytes(identity)
    return path


def whole(*numbers: int) -> dict[int, bytes]:
    return {number: content(number) for number in numbers}


def merge(sources: list[Path], into: Path, mode: Mode = Mode.LINK, **options: object) -> tuple[Outcome, str]:
    """The outcome and all notes."""
    notes: list[str] = []
    options.setdefault("label32", label32)
    outcome = Merge(sources, into, mode=mode, note=notes.append, **options).run()  # type: ignore[arg-type]
    return outcome, "\n".join(notes)


def held(path: Path) -> dict[int, bytes]:
    return {number: (path / f"postdata_{number}.bin").read_bytes() for number in Storage(path).data_files()}


def meta_of(path: Path) -> PostMetadata:
    return metadata.decode((path / metadata.FILE_NAME).read_bytes())


def tree(*paths: Path) -> dict[str, object]:
    """Everything below some directories but lock files: content, or where a link leads."""
    return {
        str(one): os.readlink(one) if one.is_symlink() else one.read_bytes() if one.is_file() else None
        for path in paths
        for one in sorted(path.rglob("*"))
        if one.name != "smesher.lock"
    }


@contextlib.contextmanager
def on_another_disk(path: Path) -> Iterator[Path]:
    """A new directory on another file system than a path; skips the test where there is none."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or not os.access(shm, os.W_OK) or shm.stat().st_dev == path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    made = shm / f"merge-{os.getpid()}-{random.getrandbits(32)}"
    made.mkdir()
    yield made
    shutil.rmtree(made)
