"""An existing data directory for the commands on it: read by `prover.post.dataset`, with words for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from api.cli import common
from api.cli.output import Output
from prover.post import dataset, whose
from prover.post.dataset import DataSet


def open_data(path: Path) -> DataSet:
    """The data set in a directory. Raises UsageError, DataError, MetadataError; see `prover.post.dataset.read`."""
    return dataset.read(path)


def scrypt_n_of(data: DataSet, asked: int | None, output: Output) -> int:
    """The scrypt N of the labels: as recorded, or as asked and confirmed, or found by trying (and said).

    Raises UsageError when another N is asked for than recorded or found.
    """
    if data.record is not None or asked is not None:
        return dataset.scrypt_n_of(data, asked, common.label32, output.note)
    with output.busy("finding scrypt N from stored labels …"):
        return dataset.scrypt_n_of(data, None, common.label32, output.note)


@contextmanager
def many_labels(threads: int) -> Iterator[Callable[[bytes, Sequence[int], int], Sequence[bytes]]]:
    """(commitment, indices, scrypt N) -> full labels, computed side by side on the CPU."""
    from kernels.labels import cpu

    engines: dict[int, cpu.LabelEngine] = {}

    def labels32(commitment: bytes, indices: Sequence[int], scrypt_n: int) -> list[bytes]:
        if not indices:
            return []
        if scrypt_n not in engines:
            engines[scrypt_n] = cpu.LabelEngine(cpu.devices()[0], scrypt_n, threads)
        return [row.tobytes() for row in engines[scrypt_n].labels32([commitment], indices)]

    try:
        yield labels32
    finally:
        for engine in engines.values():
            engine.close()


def not_these_labels(data: DataSet, scrypt_n: int, threads: int) -> str:
    """Why the labels on disk are not those of the metadata at all, in sentences; empty where they are."""
    with many_labels(threads) as labels32:
        fault = whose.mismatch(data.storage, data.layout, lambda indices: labels32(data.commitment, indices, scrypt_n))
    if fault is None:
        return ""
    metadata = data.metadata
    return whose.explain(
        data.storage, data.layout, metadata.node_id, metadata.commitment_atx_id, scrypt_n, fault, common.label32
    )
