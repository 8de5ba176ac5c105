"""What the checks on PoST data share: label engines, whole initialisations, reading parameters from a document."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kernels.devices import pool
from kernels.labels import cpu
from kernels.labels import scalar as scrypt_scalar
from prover.post.directory import Storage
from prover.post.init.plan import Request, check, decide
from prover.post.init.run import Initialisation, look
from prover.post.layout import file_name
from prover.post.metadata import FILE_NAME as METADATA_NAME
from prover.post.metadata import PostMetadata

NOW = "boot"
"""The boot id of all runs here: no power is cut."""


@functools.cache
def engine(scrypt_n: int) -> cpu.LabelEngine:
    """One engine for each N, kept for the run."""
    return cpu.LabelEngine(cpu.devices()[0], scrypt_n, memory_bytes=1 << 34)


def label32(commitment: bytes, index: int, scrypt_n: int) -> bytes:
    """One label by the vector engine (the scalar path is checked beside it)."""
    return engine(scrypt_n).labels32([commitment], [index])[0].tobytes()


def open_pool(scrypt_n: int) -> pool.Pool:
    """A pool of two engines that checks them against the scalar path."""
    engines = [cpu.LabelEngine(cpu.devices()[0], scrypt_n, memory_bytes=1 << 34) for _ in range(2)]
    return pool.Pool(engines, check=lambda key, index: scrypt_scalar.label32(key, index, scrypt_n))


@dataclass
class Run:
    """One initialisation and what it said."""

    storage: Storage
    notes: list[str] = field(default_factory=list)
    metadata: PostMetadata | None = None

    @property
    def metadata_text(self) -> str | None:
        """postdata_metadata.json as it stands."""
        data = self.storage.read_small(METADATA_NAME)
        return None if data is None else data.decode()

    def data(self) -> dict[int, bytes]:
        """The content of all data files."""
        return {number: (self.storage.path / file_name(number)).read_bytes() for number in self.storage.data_files()}


def initialise(
    path: Path,
    request: Request,
    source: Callable[[int], pool.Pool] = open_pool,
    *,
    batch_size: int = 1 << 20,
) -> Run:
    """What `smesher init` does with a directory, without the terminal. Raises what it raises."""
    storage = Storage(path)
    run = Run(storage)
    check(request)
    storage.create()
    with storage.lock():
        plan = decide(request, look(storage), str(path))
        run.notes.extend(plan.notes)
        names = [file_name(one.number) for one in plan.files if one.keep < one.target or one.cut]
        storage.check_writable([*names, METADATA_NAME])
        opened = source(request.scrypt_n)
        try:
            initialisation = Initialisation(
                storage,
                request,
                plan,
                label32,
                batch_size=batch_size,
                note=run.notes.append,
            )
            initialisation.prepare()
            run.metadata = initialisation.run(opened)
        finally:
            opened.close()
    return run


def all_labels(commitment: bytes, count: int, scrypt_n: int) -> Sequence[bytes]:
    """The full labels 0 … count-1."""
    return [row.tobytes() for row in engine(scrypt_n).labels32([commitment], range(count))]
