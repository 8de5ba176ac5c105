"""A data directory as whoever works on existing data reads it: metadata, layout, our record, and scrypt's N.

The one reading of it for all commands and the PoST service. Our own small file stops nobody: all that it says can be
found out from the labels. Specified in protocol 01-post, sections 3 and 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import ProtocolError
from protocol.post.rules import LABEL_SIZE, commitment, vrf_difficulty
from prover.errors import DataError, MetadataError, UsageError
from prover.post import metadata as metadata_file
from prover.post import record as record_file
from prover.post.books import Books
from prover.post.directory import Storage
from prover.post.init import scrypt_n
from prover.post.init.scrypt_n import Label32
from prover.post.layout import Layout
from prover.post.metadata import PostMetadata
from prover.post.record import Record

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DataSet:
    """What stands in a directory whose metadata could be read."""

    storage: Storage
    metadata: PostMetadata
    layout: Layout
    record: Record | None
    """smesher.json; None when it is not there or cannot be read."""
    damaged_record: str = ""
    """Why smesher.json cannot be read."""

    @property
    def commitment(self) -> bytes:
        """The 32 bytes that all labels commit to."""
        return commitment(self.metadata.node_id, self.metadata.commitment_atx_id)

    def held(self) -> dict[int, int]:
        """File number -> whole labels of it that are on disk and belong there."""
        return {
            number: min(size // LABEL_SIZE, self.layout.file_labels(number))
            for number, size in self.storage.data_files().items()
        }

    def books(self, n: int) -> Books:
        """The two small files, to be written; a damaged record is set aside when it is."""
        return Books(self.storage, self.metadata, self.record or Record(n))


def read(path: Path) -> DataSet:
    """The data set in a directory.

    Raises UsageError when there is no such directory, DataError or MetadataError when it has no metadata that
    can be read.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist; expected a data directory.")
    if not path.is_dir():
        raise UsageError(f"{path} is not a directory; expected a data directory.")
    storage = Storage(path)
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
    try:
        record = None if stored is None else record_file.decode(stored, str(path / record_file.FILE_NAME))
    except MetadataError as error:
        return DataSet(storage, metadata, layout, None, error.reason)
    return DataSet(storage, metadata, layout, record)


def scrypt_n_of(data: DataSet, asked: int | None, label32: Label32, note: Note) -> int:
    """The scrypt N of the labels: as recorded, or as asked and confirmed, or found by trying (and said).

    Raises UsageError when another N is asked for than recorded or found, DataError when none is found.
    """
    if data.damaged_record:
        note(
            f"{data.storage.path / record_file.FILE_NAME} cannot be read ({data.damaged_record}) and plays no part; it "
            "may be deleted."
        )
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
            scrypt_n.confirm(data.commitment, found, asked, label32, place)
        except DataError:
            note("None of the stored labels that were looked at is right; going on with the N that was asked for.")
        return asked
    n = scrypt_n.find(data.commitment, found, label32, place)
    note(f"scrypt N is not recorded; stored labels say {n}.")
    return n


NO_NONCE = (
    "The data is complete, but it has no VRF nonce, without which the network takes no activation: `smesher nonce` "
    "searches one."
)


def nonce_fault(metadata: PostMetadata, label: Callable[[int], bytes]) -> str:
    """What is wrong with the VRF nonce of the metadata, as its recomputed label (32 bytes) shows; empty: nothing."""
    if metadata.nonce is None:
        return ""
    try:
        difficulty = vrf_difficulty(metadata.num_labels)
    except ProtocolError as error:
        return str(error)
    found = label(metadata.nonce) if metadata.nonce < 2**64 - 1 else b"\xff" * 32
    if found >= difficulty:
        return (
            f"The VRF nonce {metadata.nonce} is none: its label {found.hex()} is not below {difficulty.hex()}, so the "
            "network would refuse the identity's eligibility. `smesher nonce` searches a right one."
        )
    if metadata.nonce_value not in (None, found[:LABEL_SIZE]):
        return (
            f"NonceValue is not the label of the VRF nonce {metadata.nonce}, which is "
            f"{found[:LABEL_SIZE].hex()}: other "
            "programs would not replace it by a better one. `smesher nonce` writes the right one."
        )
    return ""
