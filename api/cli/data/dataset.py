"""An existing data directory as the commands on it see it: metadata, layout, record, and its scrypt N."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from api.cli import common
from api.cli.output import Output
from protocol.post.rules import commitment
from prover.errors import DataError, UsageError
from prover.post import metadata as metadata_file
from prover.post import record as record_file
from prover.post.directory import Storage
from prover.post.init import scrypt_n
from prover.post.layout import Layout
from prover.post.metadata import PostMetadata
from prover.post.record import Record


@dataclass(frozen=True, slots=True)
class DataSet:
    """What stands in a directory whose metadata could be read."""

    storage: Storage
    metadata: PostMetadata
    layout: Layout
    record: Record | None

    @property
    def commitment(self) -> bytes:
        """The 32 bytes that all labels commit to."""
        return commitment(self.metadata.node_id, self.metadata.commitment_atx_id)


def open_data(path: Path) -> DataSet:
    """The data set in a directory.

    Raises UsageError when there is no such directory, DataError or MetadataError when it has no metadata that
    can be read.
    """
    storage = Storage(common.existing_directory(path))
    text = storage.read_small(metadata_file.FILE_NAME)
    if text is None:
        raise DataError(f"{path} has no {metadata_file.FILE_NAME}: it is no data directory, or the file was lost.")
    metadata = metadata_file.decode(text, str(path / metadata_file.FILE_NAME))
    if metadata.num_labels < 1:
        raise DataError(
            f"{path / metadata_file.FILE_NAME}: {metadata.num_units} units of {metadata.labels_per_unit} labels "
            "are no labels at all. Correct NumUnits or LabelsPerUnit."
        )
    try:
        layout = Layout(metadata.num_labels, metadata.max_file_size)
    except UsageError as error:
        raise DataError(f"{path / metadata_file.FILE_NAME}, field MaxFileSize: {error}") from None
    stored = storage.read_small(record_file.FILE_NAME)
    record = None if stored is None else record_file.decode(stored, str(path / record_file.FILE_NAME))
    return DataSet(storage, metadata, layout, record)


def scrypt_n_of(data: DataSet, asked: int | None, output: Output) -> int:
    """The scrypt N of the labels: as recorded, or as asked and confirmed, or found by trying (and said).

    Raises UsageError when another N is asked for than recorded or found.
    """
    if data.record is not None:
        if asked is not None and asked != data.record.scrypt_n:
            raise UsageError(
                f"scrypt N: {record_file.FILE_NAME} says {data.record.scrypt_n}, {asked} asked for (--network or "
                "--scrypt-n). Leave the option out."
            )
        return data.record.scrypt_n
    found = scrypt_n.samples(data.storage, data.layout)
    place = str(data.storage.path)
    if asked is not None:
        try:
            scrypt_n.confirm(data.commitment, found, asked, common.label32, place)
        except DataError:
            output.note(
                "None of the stored labels that were looked at is right; going on with the N that was asked for."
            )
        return asked
    with output.busy("finding scrypt N from stored labels …"):
        n = scrypt_n.find(data.commitment, found, common.label32, place)
    output.note(f"scrypt N is not recorded; stored labels say {n}.")
    return n
